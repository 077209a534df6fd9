import { testForms } from './forms.ts';

testForms('portable');
