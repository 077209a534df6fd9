import { fileURLToPath } from 'node:url';
import { execa } from 'execa';

export const models = fileURLToPath(new URL('../models/', import.meta.url));
export const program = fileURLToPath(new URL('../../bin/rtc.js', import.meta.url));

export interface StartOptions {
  readonly env?: object;
  readonly cwd?: string;
  /** User and group to be; only root may choose. */
  readonly uid?: number;
}

/** Starts `rtc` as a process of its own, without what this process' environment says of colours and CI. */
export function rtc(args: readonly string[], { env, cwd, uid }: StartOptions = {}) {
  const neutral = { FORCE_COLOR: undefined, NO_COLOR: undefined, GITHUB_ACTIONS: undefined, RTC_DEBUG: undefined };
  return execa(process.execPath, [program, ...args], {
    reject: false,
    stripFinalNewline: false,
    env: { ...neutral, ...env } as NodeJS.ProcessEnv,
    ...(cwd === undefined ? {} : { cwd }),
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
}

/** Environment for a process in which importing `name` gives `source` instead. */
export function replaceModule(name: string, source: string): { readonly NODE_OPTIONS: string } {
  const hooks = `export async function resolve(specifier, context, next) {
    if (specifier === ${JSON.stringify(name)} || specifier.endsWith(${JSON.stringify(`/${name}`)})) {
      return { url: 'data:text/javascript,' + encodeURIComponent(${JSON.stringify(source)}), shortCircuit: true };
    }
    return next(specifier, context);
  }`;
  return importFirst(`
    import { register } from 'node:module';
    register('data:text/javascript,' + encodeURIComponent(${JSON.stringify(hooks)}));`);
}

/** Environment for a process that runs `script` before anything else. */
export function importFirst(script: string): { readonly NODE_OPTIONS: string } {
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(script)}` };
}
