/** The header of a safetensors file as values, and its data, for tests that break one of them. */
export interface SafetensorsParts {
  readonly header: Record<string, unknown>;
  readonly data: Buffer;
}

export function splitSafetensors(bytes: Buffer): SafetensorsParts {
  const dataStart = 8 + Number(bytes.readBigUInt64LE());
  return { header: JSON.parse(bytes.toString('utf8', 8, dataStart)), data: bytes.subarray(dataStart) };
}

/** A file of any header, as values or as text, and any data; `length` lies about the header's length. */
export function joinSafetensors(header: unknown, data: Buffer = Buffer.alloc(0), length?: bigint): Buffer {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header), 'utf8');
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(length ?? BigInt(json.length));
  return Buffer.concat([prefix, json, data]);
}
