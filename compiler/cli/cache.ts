import { Command } from 'commander';
import { formatVersion, parseVersion } from '../../targets/tensorrt/versions.ts';
import type { CacheListing } from '../tensorrt/plan-cache/list-cache.ts';
import type { CacheEntry } from '../tensorrt/plan-cache/read-entry.ts';
import type { CommandContext } from './command-context.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { byteCount } from './option-values.ts';
import type { StartCommand } from './start-command.ts';
import { UsageError } from './usage-error.ts';

interface WhyFlags {
  readonly cacheDir: string;
  readonly trtexec?: string;
  readonly tensorrtVersion?: string;
  readonly gpu?: string;
  readonly computeCapability?: string;
  readonly driver?: string;
}

interface PruneFlags {
  readonly cacheDir: string;
  readonly keepBytes?: number;
  readonly all?: boolean;
}

const cacheDir = ['--cache-dir <folder>', 'folder of the cache, as "rtc compile" was told'] as const;

/** `rtc cache`: what is kept of engines, why an engine is not, and what may go. */
export function cacheCommand(start: StartCommand): Command {
  return new Command('cache')
    .summary('look into a cache of TensorRT engines')
    .description(
      'Looks into the folder that "rtc compile --target tensorrt --cache-dir" keeps engines in. An engine is found again ' +
        'while its graph, the content of its weights, all arguments of trtexec, the version of TensorRT, the GPU and its ' +
        'driver are the same.',
    )
    .addCommand(whyCommand(start))
    .addCommand(listCommand(start))
    .addCommand(pruneCommand(start))
    .addHelpText(
      'after',
      `
Examples:
  $ rtc cache why kjv-relaxed-depth-batched --cache-dir ~/.cache/rtc
  $ rtc cache list --cache-dir ~/.cache/rtc
  $ rtc cache prune --cache-dir ~/.cache/rtc --keep-bytes 20G`,
    );
}

function whyCommand(start: StartCommand): Command {
  const command: Command = new Command('why')
    .summary("tell what a package's engines have in common with those that are kept")
    .description(
      'Tells for each engine of a package whether the cache has it, or in what it differs from the nearest one that is ' +
        'there. What cannot be known on this machine, such as the GPU, is said and compared with nothing.',
    )
    .argument('<package>', 'folder of a package of the target tensorrt')
    .requiredOption(...cacheDir)
    .option('--trtexec <path>', 'trtexec to ask for its version (default: TRTEXEC, PATH, and the usual places)')
    .option('--tensorrt-version <version>', 'version, instead of asking trtexec: 10.16.0', fullVersion)
    .option('--gpu <name>', 'GPU, instead of asking nvidia-smi')
    .option('--compute-capability <n>', 'compute capability, instead of asking nvidia-smi: 9.0')
    .option('--driver <version>', "version of the GPU's driver, instead of asking nvidia-smi")
    .addHelpText(
      'after',
      `
Examples:
  $ rtc cache why kjv-relaxed-depth-batched --cache-dir ~/.cache/rtc
  $ rtc cache why kjv-relaxed-depth-batched --cache-dir plans --tensorrt-version 10.16.0 --gpu "NVIDIA L4" --json`,
    );
  return command.action((folder: string, flags: WhyFlags) => start(command, (context) => why(context, folder, flags)));
}

function listCommand(start: StartCommand): Command {
  const command: Command = new Command('list')
    .summary('list the engines and timing caches that are kept')
    .description('Lists the engines and timing caches that a cache keeps, with what they are for and their sizes.')
    .requiredOption(...cacheDir)
    .addHelpText('after', '\nExamples:\n  $ rtc cache list --cache-dir ~/.cache/rtc');
  return command.action((flags: { readonly cacheDir: string }) =>
    start(command, (context) => list(context, flags.cacheDir)),
  );
}

function pruneCommand(start: StartCommand): Command {
  const command: Command = new Command('prune')
    .summary('remove engines that were not used for long')
    .description(
      'Removes engines, those first that were not used for the longest time; also what is damaged or was left ' +
        'half-written. Packages keep the engines that they have.',
    )
    .requiredOption(...cacheDir)
    .option('--keep-bytes <size>', 'what the engines that stay may take: 20G', byteCount('--keep-bytes'))
    .option('--all', 'remove all engines and timing caches')
    .addHelpText(
      'after',
      `
Examples:
  $ rtc cache prune --cache-dir ~/.cache/rtc --keep-bytes 20G
  $ rtc cache prune --cache-dir ~/.cache/rtc --all`,
    );
  return command.action((flags: PruneFlags) => {
    if ((flags.keepBytes === undefined) === (flags.all === undefined)) {
      throw new UsageError(
        flags.all ? 'The options "--keep-bytes" and "--all" do not go together.' : 'It is not said what may go.',
        'Give --keep-bytes or --all.',
      );
    }
    return start(command, (context) => prune(context, flags));
  });
}

/** Engines are kept by the whole version, and trtexec always says it. */
function fullVersion(text: string): string {
  const version = parseVersion(text);
  if (version?.patch !== undefined) return formatVersion(version);
  throw new UsageError(
    `"${text}" is no value for --tensorrt-version: a version with its patch, such as 10.16.0, was expected.`,
  );
}

async function why(context: CommandContext, folder: string, flags: WhyFlags): Promise<ExitCode> {
  // Loaded here, so that help and wrong usage do not wait for it.
  const { explainPackage } = await import('../tensorrt/plan-cache/explain-package.ts');
  const { formatExplanations } = await import('../tensorrt/plan-cache/format-explanations.ts');
  context.progress.show({ step: 'reading' });
  const { env, signal } = context;
  const explained = await explainPackage(folder, { ...flags, env, signal });
  if (!explained.ok) return context.fail(explained.diagnostics);
  context.report(explained.diagnostics);
  if (context.json) context.printJson({ ok: true, ...explained.value });
  else context.print(formatExplanations(explained.value, context.style));
  return exitCodes.done;
}

async function list(context: CommandContext, dir: string): Promise<ExitCode> {
  const { listCache } = await import('../tensorrt/plan-cache/list-cache.ts');
  const { formatListing } = await import('../tensorrt/plan-cache/format-listing.ts');
  const listed = await listCache(dir);
  if (!listed.ok) return context.fail(listed.diagnostics);
  context.report(listed.diagnostics);
  if (context.json) context.printJson(listingDocument(listed.value));
  else context.print(formatListing(listed.value));
  return exitCodes.done;
}

async function prune(context: CommandContext, { cacheDir: dir, keepBytes }: PruneFlags): Promise<ExitCode> {
  const { pruneCache } = await import('../tensorrt/plan-cache/prune-cache.ts');
  const { formatPruned } = await import('../tensorrt/plan-cache/format-listing.ts');
  const pruned = await pruneCache(dir, keepBytes === undefined ? { everything: true } : { keepBytes });
  if (!pruned.ok) return context.fail(pruned.diagnostics);
  context.report(pruned.diagnostics);
  const { removed, removedBytes, keptBytes } = pruned.value;
  if (context.json) context.printJson({ ok: true, removed: removed.map(entryDocument), removedBytes, keptBytes });
  else context.print(formatPruned(pruned.value));
  return exitCodes.done;
}

function listingDocument({ engines, timingCaches, damaged, bytes }: CacheListing): object {
  return { ok: true, engines: engines.map(entryDocument), timingCaches, damaged, bytes };
}

function entryDocument({ key, parts, stamp }: CacheEntry): object {
  const { file, graph, profiles, size, sha256 } = stamp;
  return { key, file, graph, profiles, size, sha256, parts };
}
