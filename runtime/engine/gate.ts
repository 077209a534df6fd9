/**
 * Keeps a process from ending while its worker is inside ONNX Runtime. Node stops a worker's JavaScript where it stands
 * when the process exits or the worker is terminated; ONNX Runtime's binding then throws into nothing, and the process
 * aborts (signal 6). So the worker says when it is inside, and whoever ends the process shuts the gate and waits.
 *
 * The buffer has two 32-bit numbers: whether the worker is inside, and whether the gate is shut.
 */
export interface Gate {
  /** For the worker. False once the gate is shut: then it has to stay out. */
  readonly enter: () => boolean;
  readonly leave: () => void;
  /**
   * For the thread that ends the process: blocks it until the worker is outside, for good. Not longer than `patience`
   * milliseconds: a worker that died inside does not come out.
   */
  readonly shut: (patience: number) => void;
}

export const gateBytes = 8;

/** The same gate for every thread that has the buffer, of {@link gateBytes} zero bytes at first. */
export function openGate(buffer: SharedArrayBuffer): Gate {
  const flags = new Int32Array(buffer);
  const [inside, closed] = [0, 1];
  const leave = () => {
    Atomics.store(flags, inside, 0);
    Atomics.notify(flags, inside);
  };
  return {
    leave,
    enter: () => {
      // First in, then a look at the gate: in the other order both threads could miss each other.
      Atomics.store(flags, inside, 1);
      if (Atomics.load(flags, closed) === 0) return true;
      leave();
      return false;
    },
    shut: (patience) => {
      Atomics.store(flags, closed, 1);
      Atomics.wait(flags, inside, 1, patience);
    },
  };
}
