import { formatGraph } from './format-graph.ts';
import { formatModel } from './format-model.ts';
import { formatOnnx } from './format-onnx.ts';
import { formatPackage } from './format-package.ts';
import type { Inspection } from './inspection.ts';

/** Makes a heading stand out; the identity where there are no colours. */
export type Heading = (text: string) => string;

/** An inspection for people to read: short sections whose columns line up. Ends with a line feed. */
export function formatInspection(inspection: Inspection, heading: Heading): string {
  return `${lines(inspection, heading).join('\n')}\n`;
}

function lines(inspection: Inspection, heading: Heading): readonly string[] {
  switch (inspection.kind) {
    case 'model':
      return formatModel(inspection, heading);
    case 'package':
      return formatPackage(inspection, heading);
    case 'onnx':
      return formatOnnx(inspection, heading);
    case 'rtc':
      return formatGraph(inspection, heading);
  }
}
