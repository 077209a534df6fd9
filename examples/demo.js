// `npm run demo`: compiles the trained model of this folder, verifies it against what transformers computes, and lets
// it continue a sentence. Every command is printed before it runs; each works as it is printed, with `npx` before it.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const model = 'examples/kjv-relaxed';
const sentence = 'And God said unto Moses,';

const commands = [
  ['inspect', model],
  ['compile', model, '--form', 'unrolled', '--exit-logits', '--out', 'out/kjv-unrolled'],
  ['verify', 'out/kjv-unrolled', '--reference', `${model}/reference.safetensors`],
  ['run', 'out/kjv-unrolled', '--prompt', sentence, '--max-new-tokens', '60'],
  ['compile', model, '--form', 'loop', '--out', 'out/kjv-loop'],
  ['run', 'out/kjv-loop', '--prompt', sentence, '--max-new-tokens', '60', '--exit-threshold', '0.7'],
];

for (const command of commands) {
  console.log(`\n$ rtc ${command.map((word) => (/[\s,]/.test(word) ? `"${word}"` : word)).join(' ')}`);
  const { status } = spawnSync(process.execPath, ['bin/rtc.js', ...command], { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
