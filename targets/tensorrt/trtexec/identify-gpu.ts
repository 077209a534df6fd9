import { runProcess } from './run-process.ts';

/** A GPU as its driver describes it. */
export interface Gpu {
  /** `NVIDIA H100 80GB HBM3` */
  readonly gpu: string;
  /** `9.0`; undefined where nvidia-smi is too old to say it. */
  readonly computeCapability: string | undefined;
  /** `570.86.10` */
  readonly driver: string;
}

/** How nvidia-smi is run. */
export interface IdentifyOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal | undefined;
  /** 20 seconds by default: a GPU that sleeps takes its time. */
  readonly timeoutMs?: number | undefined;
  /** `nvidia-smi` by default, which is looked for on the PATH of `env`. */
  readonly program?: string | undefined;
}

/**
 * Asks nvidia-smi which GPU trtexec will take: the first one, or the first that CUDA_VISIBLE_DEVICES leaves. Undefined where
 * there is none, or no driver: what trtexec itself prints then has the last word, and it knows better with several kinds of
 * GPU, which CUDA counts otherwise.
 */
export async function identifyGpu(options: IdentifyOptions): Promise<Gpu | undefined> {
  const [visible] = (options.env.CUDA_VISIBLE_DEVICES ?? '').split(',').map((id) => id.trim());
  if (visible === '-1' || visible === 'NoDevFiles') return undefined;
  const which = visible ? [`--id=${visible}`] : [];
  // The first of these fields came with drivers of 2021.
  const full = await query(options, which, 'compute_cap,driver_version,name');
  if (full) {
    const [computeCapability = '', driver = '', ...name] = full;
    if (/^\d+\.\d+$/.test(computeCapability) && name.length > 0)
      return { gpu: name.join(', '), computeCapability, driver };
  }
  const short = full && (await query(options, which, 'driver_version,name'));
  if (!short) return undefined;
  const [driver = '', ...name] = short;
  return /^[\d.]+$/.test(driver) && name.length > 0
    ? { gpu: name.join(', '), computeCapability: undefined, driver }
    : undefined;
}

/** The fields of the first GPU; undefined where nvidia-smi does not run. */
async function query(
  { env, signal, timeoutMs = 20_000, program = 'nvidia-smi' }: IdentifyOptions,
  which: readonly string[],
  fields: string,
): Promise<readonly string[] | undefined> {
  let first: string | undefined;
  const { end } = await runProcess(program, [...which, `--query-gpu=${fields}`, '--format=csv,noheader'], {
    ...{ env, signal, timeoutMs, graceMs: 1000 },
    onLine(stream, line) {
      if (stream === 'stdout') first ??= line;
    },
  });
  return end.kind === 'exited' && first !== undefined ? first.split(',').map((field) => field.trim()) : undefined;
}
