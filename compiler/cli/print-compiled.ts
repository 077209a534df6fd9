import { relative, sep } from 'node:path';
import type { Diagnostic } from '../../files/diagnostics.ts';
import type { CompileResult } from '../compile-options.ts';
import { formatBytes } from '../inspect/format-bytes.ts';
import { formatTable } from '../inspect/table.ts';
import type { CommandContext } from './command-context.ts';

/** What `rtc compile` has to tell in the end. */
export interface Compiled extends CompileResult {
  readonly diagnostics: readonly Diagnostic[];
  readonly seconds: number;
}

/** The document of `rtc compile --json`. Not `ok` is what has a package, but not the engines that were wanted. */
export function printCompiledJson(context: CommandContext, compiled: Compiled): void {
  const { folder, files, passes, stopped, seconds, engines } = compiled;
  const unbuilt = engines?.unbuilt ?? [];
  context.report(unbuilt);
  context.printJson({
    ok: unbuilt.length === 0,
    package: folder ?? null,
    files,
    passes,
    stopped,
    seconds,
    ...(engines && {
      tensorrt: {
        version: engines.version,
        attention: engines.attention,
        engines: engines.planned,
        plans: engines.plans,
        explanation: engines.explanation,
      },
    }),
    diagnostics: [...compiled.diagnostics, ...unbuilt],
  });
}

/** The result for a person: files, and in the last line the package. Engines that are missing are explained instead. */
export function printCompiled(context: CommandContext, compiled: Compiled, explain: boolean): void {
  const { folder, files, passes, stopped, seconds, engines } = compiled;
  showChoices(context, passes);
  if (folder === undefined) {
    context.print(stopped ?? '');
    return;
  }
  if (explain && engines && !context.quiet) context.print(`${engines.explanation.join('\n')}\n\n`);
  const shown = relativeToHere(folder);
  const unbuilt = engines?.unbuilt ?? [];
  context.report(unbuilt);
  if (context.quiet) {
    context.print(`${shown}\n`);
    return;
  }
  if (unbuilt.length === 0) {
    const rows = files.map(({ path, bytes, linked }) => [
      path,
      formatBytes(bytes),
      linked ? "the checkpoint's own" : '',
    ]);
    for (const line of formatTable(rows, ['left', 'right', 'left'])) context.print(`  ${line}\n`);
    const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
    context.note(context.noteStyle.dim(`${formatBytes(total)} in ${seconds.toFixed(2)} s`));
  }
  const outcome = unbuilt.length === 0 ? context.style.green('compiled') : 'written, without engines:';
  context.print(`${outcome} ${context.style.bold(shown)}\n`);
}

/** What was chosen for the user is told without being asked for. */
function showChoices({ note, noteStyle }: CommandContext, passes: CompileResult['passes']): void {
  for (const { name, branch, notes } of passes) {
    if (name === 'merge-lora' && branch === undefined)
      for (const text of notes) note(noteStyle.dim(`${name}: ${text}`));
  }
}

/** A path as a person in this folder would write it. */
function relativeToHere(path: string): string {
  const from = relative('.', path);
  return from === '' || from === '..' || from.startsWith(`..${sep}`) ? path : `./${from.split(sep).join('/')}`;
}
