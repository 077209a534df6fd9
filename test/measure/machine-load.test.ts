import { expect, test } from 'vitest';
import { busySeconds, watchLoad } from '../../measure/machine-load.ts';

const stat = (...ticks: readonly number[]) => `cpu  ${ticks.join(' ')}\ncpu0 1 2 3 4 5 6 7 8 9 10\nintr 5\n`;

test('busy is everything but idle and waiting for disks; guests are in user time already', () => {
  expect(busySeconds(stat(100, 20, 30, 5000, 700, 4, 6, 40, 9, 9))).toBe(2);
  expect(busySeconds('no such line')).toBeUndefined();
  expect(busySeconds(undefined)).toBeUndefined();
});

test('others are what was busy and was not us', async () => {
  const readings = [stat(0, 0, 0, 0, 0, 0, 0, 0), stat(40, 0, 10, 0, 0, 0, 0, 0)];
  const own = [0, 0.1];
  const watch = watchLoad(
    () => readings.shift(),
    () => own.shift()!,
  );
  const began = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 100));
  const cores = watch.others()!;
  const seconds = (performance.now() - began) / 1000;
  // 0.5 s busy less 0.1 s of ours, over the time that passed.
  expect(cores).toBeGreaterThan((0.4 / seconds) * 0.8);
  expect(cores).toBeLessThan((0.4 / seconds) * 1.2);
});

test('where nobody tells, it says so', () => {
  expect(watchLoad(() => undefined).others()).toBeUndefined();
});
