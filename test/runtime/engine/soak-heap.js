// Loaded into every thread of the soak (node --import): the engine's thread says how much memory it still holds when asked.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { BroadcastChannel, isMainThread } from 'node:worker_threads';

if (!isMainThread) {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc');
  const channel = new BroadcastChannel('soak-heap');
  channel.onmessage = ({ data }) => {
    if (data !== 'how much?') return;
    collectGarbage();
    const { heapUsed, external } = process.memoryUsage();
    channel.postMessage({ heapUsed, external });
  };
  channel.unref();
}
