// Prints `N passed, N failed, N skipped` from vitest's JSON report; exits non-zero when a test failed or none ran.
import { readFileSync } from 'node:fs';

const [, , file, status] = process.argv;
let report;
try {
  report = JSON.parse(readFileSync(file, 'utf8'));
} catch (error) {
  console.error(`No test report: ${error.message}`);
  process.exit(1);
}
const { numPassedTests: passed, numFailedTests: failed, numPendingTests: pending, numTodoTests: todo } = report;
console.log(`${passed} passed, ${failed} failed, ${pending + todo} skipped`);
process.exit(Number(status) !== 0 || failed > 0 || passed === 0 ? 1 : 0);
