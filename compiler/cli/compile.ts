import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import type { Diagnostic } from '../../files/diagnostics.ts';
import { fileDiagnostic } from '../../files/file-diagnostic.ts';
import { makeFolders } from '../../files/make-folders.ts';
import { type CompileOptions, defaultForm } from '../compile-options.ts';
import { groupCounts, isGroupCount, isPageSize, pageSizes } from '../contradictions.ts';
import { meansTensorrt } from '../tensorrt/means-tensorrt.ts';
import type { CommandContext } from './command-context.ts';
import { type ExitCode, exitCodeOf } from './exit-code.ts';
import { number, oneOf } from './option-values.ts';
import { printCompiled, printCompiledJson } from './print-compiled.ts';
import type { StartCommand } from './start-command.ts';
import { addTensorrtFlags, type TensorrtFlags, takeTensorrtFlags } from './tensorrt-flags.ts';
import { UsageError } from './usage-error.ts';

/** Flags as commander hands them over; `compile` has the same names. */
type CompileFlags = Omit<CompileOptions, 'model' | 'tensorrt'> & { readonly dumpPasses?: string } & TensorrtFlags;

const forms = ['depth-batched', 'loop', 'unrolled'] as const;

/** `rtc compile`: a model becomes a package. */
export function compileCommand(start: StartCommand): Command {
  const command = new Command('compile')
    .summary('compile a model into a package')
    .description(
      'Compiles a recursive transformer: reads a model, finds its loop, and writes a package with an ONNX graph that ' +
        "points into the checkpoint's own files. The last line names the package.",
    )
    .argument('<model>', 'a model.json, a folder that holds one, or a Hugging Face folder')
    .addOption(
      value('--target <target>', 'what to compile for: onnx (default), tensorrt or triton', [
        'onnx',
        'tensorrt',
        'triton',
      ]),
    )
    .addOption(value('--form <form>', 'depth-batched (default), loop or unrolled', forms))
    .addOption(value('--dialect <dialect>', 'portable (default) or ort', ['portable', 'ort']))
    .option(
      '--page-size <n>',
      'form depth-batched: positions of a page, a multiple of 16 (default: 64)',
      number('--page-size', pageSizes, isPageSize),
    )
    .option(
      '--attention-groups <n>',
      'form depth-batched: 1 (default) to 16; 4 or 8 pay where contexts are long',
      number('--attention-groups', groupCounts, isGroupCount),
    )
    .option('--out <folder>', 'folder to write (default: ./<name>-<form>)')
    .addOption(value('--precision <type>', 'f32 (default), f16 or bf16', ['f32', 'f16', 'bf16'], ['int8', 'int4']))
    .addOption(
      value(
        '--lora <strategy>',
        'auto (default), keep, concatenate, gather (form depth-batched) or bake (form unrolled)',
        ['auto', 'bake', 'keep', 'concatenate', 'gather'],
      ),
    )
    .option('--exit-logits', 'form unrolled: an output with the logits of every exit')
    .option('--write-weights', 'write weights in the type they are computed in, instead of linking')
    .option('--copy-weights', "copy the checkpoint's files instead of hard-linking them")
    .addOption(value('--layout <layout>', 'rtc (default), or huggingface (form unrolled)', ['rtc', 'huggingface']))
    .option('--bindings', 'write bindings.ts, typed TypeScript for the package')
    .option('--checksum', 'hash linked weights as a whole, not only their headers')
    .option('--dump-passes <folder>', 'write the graph behind every pass as text')
    .option('--stop-after <pass>', 'print the graph behind this pass and write no package')
    .option('--verify-each', 'verify the graph behind every pass (default)')
    .option('--no-verify-each', 'do not')
    .addHelpText(
      'after',
      `
Examples:
  $ rtc compile model.json
  $ rtc compile ~/models/kjv-relaxed --form loop --dialect ort --out kjv-loop
  $ rtc compile model.json --precision f16 --write-weights --attention-groups 4
  $ rtc compile model.json --form unrolled --layout huggingface --out for-transformers-js
  $ rtc compile model.json --stop-after fold-loop > folded.rtc
  $ rtc compile model.json --target tensorrt --precision f16 --max-rows 32 --exit-shares 0.8,0.2 --explain
  $ rtc compile model.json --target tensorrt --tensorrt-version 10.16 --no-build --out for-the-gpu
  $ rtc compile model.json --target triton --out repository
  $ rtc compile model.json --target tensorrt -- --device=1 --maxAuxStreams=0`,
    );
  addTensorrtFlags(command);
  return command.action((model: string, { dumpPasses, ...flags }: CompileFlags) => {
    const { rest, tensorrt, explain } = takeTensorrtFlags(flags, command.args.slice(1));
    // Of all commands, and not of compile: its context has them.
    const { json: _json, quiet: _quiet, ...own } = rest as typeof rest & Partial<Record<'json' | 'quiet', boolean>>;
    const options: CompileOptions = { ...own, model, ...(tensorrt && { tensorrt }) };
    refuseContradictions(options);
    return start(command, (context) => compileInto(context, options, { dumpPasses, explain }));
  });
}

function value(flags: string, description: string, known: readonly string[], later: readonly string[] = []): Option {
  return new Option(flags, description).argParser(oneOf(flags.split(' ')[0]!, known, later));
}

function refuseContradictions(flags: CompileOptions): void {
  const { form = defaultForm, target, dialect, layout, lora, exitLogits, pageSize, attentionGroups } = flags;
  if (target === 'tensorrt') {
    if (form === 'loop') {
      throw new UsageError(
        '--form loop has a Loop that ends by a condition, which --target tensorrt does not take.',
        'Leave --form out: the host drives the loop of depth-batched graphs. Or choose unrolled.',
      );
    }
    if (dialect !== undefined)
      throw new UsageError('--dialect goes with --target onnx: --target tensorrt has a dialect of its own.');
    if (layout === 'huggingface') throw new UsageError('--layout huggingface goes with --target onnx.');
  }
  if (target === 'triton') {
    if (form !== 'depth-batched') {
      throw new UsageError(
        `--target triton runs rows of all depths in one step, and --form ${form} has no such step.`,
        'Leave --form out.',
      );
    }
    if (dialect !== undefined && meansTensorrt({ ...flags, dialect: undefined })) {
      throw new UsageError(
        '--dialect says which graphs ONNX Runtime gets, and other flags are for TensorRT.',
        'Leave one of the two out.',
      );
    }
  }
  if (form !== 'depth-batched') {
    if (pageSize !== undefined) throw new UsageError('--page-size goes with --form depth-batched, which has pages.');
    if (attentionGroups !== undefined) {
      throw new UsageError('--attention-groups goes with --form depth-batched, whose rows attend in groups.');
    }
    if (lora === 'gather') {
      throw new UsageError(
        '--lora gather looks factors up for every row, as only --form depth-batched can.',
        'Choose keep, concatenate or auto.',
      );
    }
  }
  if (form === 'unrolled') return;
  const exits = form === 'loop' ? 'exits are taken inside the graph' : 'exits are taken by whoever runs the graph';
  if (exitLogits) {
    throw new UsageError(
      `--exit-logits goes with --form unrolled: in the form ${form} ${exits}.`,
      'Add --form unrolled.',
    );
  }
  if (layout === 'huggingface') {
    throw new UsageError(
      '--layout huggingface goes with --form unrolled, the one that other runtimes know.',
      'Add --form unrolled.',
    );
  }
  if (lora === 'bake') {
    throw new UsageError(
      `--lora bake gives every loop weights of its own, and --form ${form} has them once.`,
      form === 'loop' ? 'Choose keep, concatenate or auto.' : 'Choose keep, concatenate, gather or auto.',
    );
  }
}

async function compileInto(
  context: CommandContext,
  options: CompileOptions,
  { dumpPasses, explain }: { readonly dumpPasses: string | undefined; readonly explain: boolean },
): Promise<ExitCode> {
  const started = performance.now();
  const dump = dumpPasses === undefined ? undefined : dumper(dumpPasses);
  // Loaded here, so that help and wrong usage do not wait for the compiler.
  const { compile } = await import('../compile.ts');
  const debug = Number(context.env.RTC_DEBUG) || 0;
  // Before the work: a dump that cannot be written must not come to light behind a package that was.
  const early = dump?.problems() ?? [];
  if (early.length > 0) return context.fail(early);
  const result = await compile({
    ...options,
    env: context.env,
    signal: context.signal,
    onProgress: context.progress.show,
    onDebug: ({ level, text }) => {
      if (level <= debug) context.note(text);
    },
    ...(dump ? { onDump: dump.write } : {}),
  });
  const problems = dump?.problems() ?? [];
  if (!result.ok) return context.fail([...result.diagnostics, ...problems]);
  if (problems.length > 0) return context.fail(problems);
  context.report(result.diagnostics);
  const seconds = (performance.now() - started) / 1000;
  const shown = { ...result.value, diagnostics: result.diagnostics, seconds };
  if (context.json) printCompiledJson(context, shown);
  else printCompiled(context, shown, explain);
  return exitCodeOf(result.value.engines?.unbuilt ?? []);
}

/** Writes dumps as they come, so that they are there even when a later pass breaks. */
function dumper(folder: string): {
  readonly write: (name: string, text: string) => void;
  readonly problems: () => readonly Diagnostic[];
} {
  const problems: Diagnostic[] = [];
  try {
    makeFolders(folder);
  } catch (error) {
    problems.push(fileDiagnostic(error, { file: folder }, 'write'));
  }
  return {
    write: (name, text) => {
      // What failed once fails for every pass.
      if (problems.length > 0) return;
      const file = join(folder, `${name}.rtc`);
      try {
        writeFileSync(file, text);
      } catch (error) {
        problems.push(fileDiagnostic(error, { file }, 'write'));
      }
    },
    problems: () => problems,
  };
}
