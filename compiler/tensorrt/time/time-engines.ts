import { join } from 'node:path';
import { failure, type Result, success } from '../../../files/diagnostics.ts';
import type { PackageManifest } from '../../../files/manifest.ts';
import { mainGraph, propagateGraph } from '../../../files/package.ts';
import type { StepProfile } from '../../../files/step-profile.ts';
import { type ExportedTime, readExportedTimes } from '../../../targets/tensorrt/trtexec/read-exports.ts';
import { liesIn } from '../../verify/call.ts';
import { callEngine, type EngineInput } from '../run/engine-call.ts';
import { type EngineProfile, engineProfiles } from '../run/engine-profiles.ts';
import type { EngineSession } from '../run/engine-session.ts';
import { stepInputs, type TimedStep } from '../run/engine-step-inputs.ts';
import { headShare } from './head-share.ts';

export interface TimeEnginesOptions {
  /** Positions behind each row of a decoding step. */
  readonly context: number;
  /** Hears of every call of trtexec before it is made. */
  readonly onCall?: (what: string, call: number, calls: number) => void;
}

/** What a profile was asked to do, and how long it took on the GPU. */
export interface EngineTime {
  /** `passes`: rows of one token, one head. `heads`: as many rows as there can be. `prompt`: one row. */
  readonly part: 'passes' | 'heads' | 'prompt' | 'propagate';
  /** Rows, heads, tokens of a prompt, or states. */
  readonly count: number;
  readonly plan: string;
  readonly profile: string;
  /** Milliseconds: the median of all iterations, and what 1 in 10 stays below and above. */
  readonly median: number;
  readonly low: number;
  readonly high: number;
  readonly iterations: number;
}

/** Times of all engines of a package. */
export interface EngineTimes {
  readonly times: readonly EngineTime[];
  /** The best profile's times, as the simulator takes them. */
  readonly profile: StepProfile;
  /** Of a pass of one row with one head: the part that was taken to be the head's. */
  readonly headShare: number;
}

/** At least so many, and for as long, behind a warm-up that lets clocks rise. */
const measurement = { iterations: 20, warmUp: 200, duration: 1 } as const;

interface Job {
  readonly part: EngineTime['part'];
  readonly count: number;
  readonly profile: EngineProfile;
  readonly inputs: ReadonlyMap<string, EngineInput>;
}

/**
 * Times every profile of a package's engines: passes by rows, heads by their number, prompts and states to propagate by
 * tokens, 1, 2, 4 … and the largest. One call of trtexec each, which loads the engine.
 *
 * An engine runs no step without a head, so that what the first one costs is not to be had by leaving it out. A step of
 * one row waits for weights to be read; of its time the head is given the share of the bytes that it reads, and what
 * more heads add is measured.
 */
export async function timeEngines(
  manifest: PackageManifest,
  session: Pick<EngineSession, 'facts' | 'folder' | 'scratch' | 'run'>,
  { context, onCall }: TimeEnginesOptions,
): Promise<Result<EngineTimes>> {
  const jobs = [...stepJobs(manifest, session, context), ...propagateJobs(manifest, session)];
  const times: EngineTime[] = [];
  for (const [i, job] of jobs.entries()) {
    const { part, count, profile, inputs } = job;
    onCall?.(`${part} ${count}, profile ${profile.name}`, i + 1, jobs.length);
    const call = {
      ...{ plan: join(session.folder, profile.plan), profile: profile.number, inputs, exportTimes: 'times.json' },
      ...measurement,
    };
    const timed = await callEngine(session.run, session.scratch, call, (at) =>
      readExportedTimes(join(at, call.exportTimes)),
    );
    if (!timed.ok) return failure(...timed.diagnostics);
    times.push({ part, count, plan: profile.plan, profile: profile.name, ...spread(timed.value) });
  }
  const share = headShare(manifest);
  return success({ times, profile: stepProfile(times, share, context), headShare: share });
}

/** What is to be timed of the step graph. Passes of `rows` rows have one head; the last of them are timed with more. */
function stepJobs(manifest: PackageManifest, { facts }: Pick<EngineSession, 'facts'>, context: number): readonly Job[] {
  const graph = mainGraph(manifest);
  const profiles = engineProfiles(facts.engines, graph);
  const { maxRows, prefillChunk } = facts.policy;
  const least = manifest.cache.groups ?? 1;
  const decoding = profiles.filter(({ range }) => range.most.tokens === 1);
  const jobs = (part: EngineTime['part'], count: number, step: TimedStep, among: readonly EngineProfile[]) =>
    among.flatMap((profile): readonly Job[] => {
      const inputs = stepInputs(manifest, graph.inputs, step);
      return liesIn(profile.range, graph.inputs, inputs) ? [{ part, count, profile, inputs }] : [];
    });
  const decode = (rows: number, heads: number): TimedStep => ({ rows, tokens: 1, heads, context });
  const prompt = (tokens: number): TimedStep => ({ rows: least, tokens, heads: 1, context: 0 });
  return [
    ...doublings(least, maxRows).flatMap((rows) => jobs('passes', rows, decode(rows, 1), decoding)),
    ...doublings(2, maxRows)
      .filter((heads) => heads <= maxRows)
      .flatMap((heads) => jobs('heads', heads, decode(maxRows, heads), decoding)),
    ...doublings(Math.min(16, prefillChunk), prefillChunk).flatMap((tokens) =>
      jobs('prompt', tokens, prompt(tokens), tokens === 1 ? profiles : profiles.filter((p) => !decoding.includes(p))),
    ),
  ];
}

function propagateJobs(manifest: PackageManifest, { facts }: Pick<EngineSession, 'facts'>): readonly Job[] {
  const file = propagateGraph(manifest);
  const graph = file === undefined ? undefined : manifest.graphs[file];
  if (file === undefined || graph === undefined) return [];
  const profiles = engineProfiles(facts.engines, { file, inputs: graph.inputs });
  const most = Math.max(...profiles.map(({ range }) => range.most.n ?? 1));
  return doublings(1, most).flatMap((count) =>
    profiles.flatMap((profile): readonly Job[] => {
      const inputs = new Map(
        graph.inputs.map(({ name, dtype, dims }): readonly [string, EngineInput] => [
          name,
          // Zeros are a state, a depth and a position, too.
          { dtype, shape: dims.map((dim) => (typeof dim === 'number' ? dim : count)) },
        ]),
      );
      return liesIn(profile.range, graph.inputs, inputs) ? [{ part: 'propagate', count, profile, inputs }] : [];
    }),
  );
}

/** The table of the simulator: of profiles that do the same the fastest, as whoever chooses one would. */
function stepProfile(times: readonly EngineTime[], share: number, context: number): StepProfile {
  const best = (part: EngineTime['part']): readonly (readonly [number, number])[] => {
    const found = new Map<number, number>();
    for (const time of times) {
      if (time.part !== part) continue;
      found.set(time.count, Math.min(found.get(time.count) ?? Number.POSITIVE_INFINITY, time.median));
    }
    return [...found];
  };
  const passes = best('passes');
  const [, fewest] = passes[0]!;
  const [, most] = passes.at(-1)!;
  const first = share * fewest;
  // A time of exactly nothing would be no time; the clock is finer than this.
  const positive = (milliseconds: number) => Math.max(1e-6, milliseconds);
  // More heads take no less time: that is noise, and would make a head cheaper than none.
  let before = first;
  const heads = best('heads').map(([count, milliseconds]) => {
    before = Math.max(before, first + milliseconds - most);
    return { heads: count, milliseconds: positive(before) };
  });
  const propagate = best('propagate');
  return {
    context,
    passes: passes.map(([rows, milliseconds]) => ({ rows, milliseconds: positive(milliseconds - first) })),
    heads: [{ heads: 1, milliseconds: positive(first) }, ...heads],
    prompt: best('prompt').map(([tokens, milliseconds]) => ({ tokens, milliseconds: positive(milliseconds - first) })),
    ...(propagate.length === 0
      ? {}
      : { propagate: propagate.map(([tokens, milliseconds]) => ({ tokens, milliseconds: positive(milliseconds) })) }),
  };
}

function spread(times: readonly ExportedTime[]): Pick<EngineTime, 'median' | 'low' | 'high' | 'iterations'> {
  const sorted = times.map(({ computeMs }) => computeMs).sort((a, b) => a - b);
  const at = (part: number) => {
    const place = part * (sorted.length - 1);
    const [below, above] = [sorted[Math.floor(place)]!, sorted[Math.ceil(place)]!];
    return below + (above - below) * (place - Math.floor(place));
  };
  return { median: at(0.5), low: at(0.1), high: at(0.9), iterations: sorted.length };
}

/** The least, its doubles below the largest, and the largest. */
function doublings(least: number, most: number): readonly number[] {
  const counts: number[] = [];
  for (let count = least; count < most; count *= 2) counts.push(count);
  return [...counts, Math.max(least, most)];
}
