import { expect, test } from 'vitest';
import { runHere } from './run-here.ts';

test.each([
  ['nonsense -h', 'There is no command "nonsense".'],
  ['serv --help', 'There is no command "serv". Did you mean "serve"?'],
  ['convrt --help', 'There is no command "convrt". Did you mean "convert"?'],
  ['help comple', 'There is no command "comple". Did you mean "compile"?'],
])('rtc %s is wrong usage, and no page of help', async (line, message) => {
  const { exitCode, stdout, stderr } = await runHere(line.split(' '));
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
  expect(stderr).toContain(message);
  expect(stderr).not.toContain('Usage:');
});

test.each(['--help', '-h', 'help', 'help serve', 'serve --help', '--version'])('rtc %s is none', async (line) => {
  const { exitCode, stderr } = await runHere(line.split(' '));
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
});
