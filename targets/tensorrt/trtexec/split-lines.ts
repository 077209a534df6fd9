/** Takes bytes as they come and gives lines, without their ends. */
export interface LineSplitter {
  readonly push: (chunk: Uint8Array) => void;
  /** The last line, where no line feed ended it. */
  readonly end: () => void;
}

/**
 * Lines of UTF-8, whatever the bytes are: what is no UTF-8 becomes U+FFFD. Of a line only the first `limit` bytes are kept, so
 * that a stream without line feeds takes no memory.
 */
export function splitLines(onLine: (line: string) => void, limit = 16_384): LineSplitter {
  const decoder = new TextDecoder();
  let parts: Uint8Array[] = [];
  let size = 0;
  let begun = false;
  const keep = (bytes: Uint8Array) => {
    begun ||= bytes.length > 0;
    const room = bytes.subarray(0, limit - size);
    if (room.length === 0) return;
    // The chunk's memory is the stream's; a line may wait long for its end.
    parts.push(new Uint8Array(room));
    size += room.length;
  };
  const give = () => {
    const line = decoder.decode(parts.length === 1 ? parts[0] : Buffer.concat(parts));
    [parts, size, begun] = [[], 0, false];
    onLine(line.endsWith('\r') ? line.slice(0, -1) : line);
  };
  return {
    push(chunk) {
      let from = 0;
      for (let at = chunk.indexOf(lineFeed); at >= 0; at = chunk.indexOf(lineFeed, from)) {
        keep(chunk.subarray(from, at));
        give();
        from = at + 1;
      }
      keep(chunk.subarray(from));
    },
    end() {
      if (begun) give();
    },
  };
}

const lineFeed = 10;
