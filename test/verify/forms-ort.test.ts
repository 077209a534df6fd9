import { testForms } from './forms.ts';

testForms('ort');
