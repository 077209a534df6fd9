import type { DecoderSpec } from '../../architectures/decoder-spec.ts';
import { calibrationSettings } from './open-calibration.ts';
import { rootBytes } from './stored-roots.ts';

/** Bytes on disk that a calibration takes while matrices wait for it: what q, k and v read, o, gate and up, and down. */
export function calibrationBytes(spec: DecoderSpec): number {
  const sizes = [spec.hiddenSize, spec.heads * spec.headDim, spec.hiddenSize, spec.intermediateSize];
  const ofLayer = sizes.reduce((sum, size) => sum + rootBytes(size, size > calibrationSettings.widest), 0);
  return spec.storedLayers * ofLayer;
}
