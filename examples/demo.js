// `npm run demo`: compiles the trained model of this folder, verifies it against what transformers computes, and lets
// it continue a sentence. Every command is printed before it runs; each works as it is printed, with `npx` before it.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const model = 'examples/kjv-relaxed';
const sentence = 'And God said unto Moses,';

const commands = [
  ['inspect', model],
  ['compile', model, '--out', 'out/kjv'],
  ['verify', 'out/kjv', '--reference', `${model}/reference.safetensors`],
  ['run', 'out/kjv', '--prompt', sentence, '--max-new-tokens', '60'],
  ['run', 'out/kjv', '--prompt', sentence, '--prompt', 'Blessed are', '--exit-threshold', '0.7'],
  ['compile', model, '--form', 'unrolled', '--exit-logits', '--out', 'out/kjv-unrolled'],
  ['verify', 'out/kjv-unrolled', '--reference', `${model}/reference.safetensors`],
];

for (const command of commands) {
  console.log(`\n$ rtc ${command.map((word) => (/[\s,]/.test(word) ? `"${word}"` : word)).join(' ')}`);
  const { status } = spawnSync(process.execPath, ['bin/rtc.js', ...command], { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
