import { constants } from 'node:fs';
import { access, open, stat } from 'node:fs/promises';

/** Number of a processor in an ELF file, by Node's name for it. */
const machines: Readonly<Record<string, number>> = { x64: 62, arm64: 183, ia32: 3, arm: 40, ppc64: 21, s390x: 22 };

const machineNames: Readonly<Record<number, string>> = {
  3: '32-bit x86',
  40: '32-bit Arm',
  62: 'x86-64',
  183: '64-bit Arm',
};

/**
 * Why a file cannot be run, as the end of a sentence that begins with its name; undefined where it can. Asked in front of
 * running it: systems hand what they cannot run to sh, which then takes another processor's code for commands.
 */
export async function programProblem(path: string): Promise<string | undefined> {
  const head = new Uint8Array(20);
  let length: number;
  try {
    const { isFolder, isFile } = await kindOf(path);
    if (isFolder) return 'is a folder';
    if (!isFile) return 'is no file';
    if (process.platform === 'win32') return undefined;
    await access(path, constants.X_OK);
    const file = await open(path, 'r');
    try {
      length = (await file.read(head, 0, head.length, 0)).bytesRead;
    } finally {
      await file.close();
    }
  } catch (error) {
    switch ((error as NodeJS.ErrnoException).code) {
      case 'ENOENT':
      case 'ENOTDIR':
        return 'does not exist';
      case 'EACCES':
      case 'EPERM':
        return 'may not be executed (chmod +x, or other permissions)';
      default:
        return `cannot be read (${(error as NodeJS.ErrnoException).code ?? 'for a reason that is not known'})`;
    }
  }
  const isElf = length === 20 && head[0] === 0x7f && head[1] === 0x45 && head[2] === 0x4c && head[3] === 0x46;
  if (!isElf) {
    const isScript = head[0] === 0x23 && head[1] === 0x21;
    // What macOS runs begins otherwise, and there is no TensorRT for it.
    return isScript || process.platform !== 'linux' ? undefined : 'is neither a program nor a script';
  }
  const machine = head[5] === 2 ? head[18]! * 256 + head[19]! : head[19]! * 256 + head[18]!;
  const ours = machines[process.arch];
  if (ours === undefined || machine === ours) return undefined;
  const theirs = machineNames[machine] ?? `another kind (${machine})`;
  return `is for processors of ${theirs}, and this machine has ${machineNames[ours] ?? process.arch}`;
}

async function kindOf(path: string): Promise<{ isFolder: boolean; isFile: boolean }> {
  const found = await stat(path);
  return { isFolder: found.isDirectory(), isFile: found.isFile() };
}
