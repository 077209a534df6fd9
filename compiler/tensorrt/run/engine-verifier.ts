import { success } from '../../../files/diagnostics.ts';
import type { PackageManifest } from '../../../files/manifest.ts';
import { invariant } from '../../../ir/invariant.ts';
import type { OpenGraph } from '../../verify/open-decoder.ts';
import { unitRoundoff } from '../../verify/tolerance.ts';
import { engineDecoder } from './engine-decoder.ts';
import { type EngineProfile, engineProfiles } from './engine-profiles.ts';
import type { EngineSession } from './engine-session.ts';

/** The engines of a package as verify runs them in place of the graphs. */
export interface EngineVerifier {
  readonly open: OpenGraph;
  /** Unit roundoff of what engines hand back: that of TF32 where it is allowed, else of six printed digits. */
  readonly roundoff: number;
  /** Hears of every call of trtexec: the profile, and how many calls there were with it. */
  readonly onCall: (listener: (profile: EngineProfile, calls: number) => void) => void;
  /** What ran the engines, how often and in which profiles: a sentence, true at the end. */
  readonly executedBy: () => string;
}

export function engineVerifier(session: EngineSession, manifest: PackageManifest): EngineVerifier {
  const { facts, machine, tf32, folder, scratch, run } = session;
  const calls = new Map<EngineProfile, number>();
  let listener: (profile: EngineProfile, calls: number) => void = () => {};
  const all = () => [...calls.values()].reduce((sum, n) => sum + n, 0);
  return {
    roundoff: tf32 ? unitRoundoff.tf32 : unitRoundoff.sixDigits,
    onCall: (heard) => {
      listener = heard;
    },
    executedBy: () => {
      const listed = [...calls].map(([{ plan, name }, n]) => `${name} of ${plan} ${n}`);
      const rounding = tf32 ? ', with products in TF32' : '';
      return `Run by ${machine()}${rounding}, which was called ${all()} times: ${listed.join(', ')}.`;
    },
    open: async (file) => {
      const declared = manifest.graphs[file];
      invariant(declared, `the package has no graph ${file}`);
      const profiles = engineProfiles(facts.engines, { file, inputs: declared.inputs });
      invariant(profiles.length > 0, `no engine is meant for ${file}`);
      for (const profile of profiles) calls.set(profile, 0);
      const onCall = (profile: EngineProfile) => {
        calls.set(profile, calls.get(profile)! + 1);
        listener(profile, all());
      };
      const decoder = engineDecoder({ graph: { file, ...declared }, profiles, folder, scratch, run, onCall });
      return success({ decoder, executedBy: machine() });
    },
  };
}
