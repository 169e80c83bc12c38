import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readCdi } from '../../src/cdi/read.ts';
import { Complaint } from '../../src/errors.ts';
import { imported, type Kind, readForeign } from '../../src/import.ts';
import { readSpec } from '../../src/spec.ts';

/** The readers that are given texts from anywhere, and what must hold of each for whatever text. */
export interface Reader {
  /** Texts to begin with. */
  texts(repository: string): string[];
  /** Throws anything but a Complaint where something is wrong. */
  read(text: string): void;
}

const filesIn = (folder: string, ends: RegExp): string[] => readdirSync(folder).filter((name) => ends.test(name)).sort().map((name) => readFileSync(join(folder, name), 'utf8'));

/** A text of ours is lines of text: what somebody else has written can neither add a control character nor move the cursor. */
function mustBePlain(told: string): void {
  if (/[^\P{Cc}\n\t]/u.test(told)) throw new Error(`there is a control character in ${JSON.stringify(told.slice(0, 400))}`);
}

/** A machine file that comes of it must be one, and say where it is from. */
function readAs(kind: Kind, file: string, text: string): void {
  for (const foreign of readForeign([{ file, text }], kind)) {
    const machine = imported(foreign, [file], { folder: '/home/carol', name: null });
    mustBePlain(machine.text);
    try {
      readSpec(machine.text, `${machine.name}.toml`);
    } catch (error) {
      throw new Error(`it became no machine file: ${(error as Error).message}\n${machine.text}`);
    }
  }
}

/** The texts of test/pure/import/ of one kind. */
const imports = (repository: string, kind: RegExp): string[] =>
  filesIn(join(repository, 'test/pure/import'), kind).map((text) => text.split(/^<<<\n/m)[0]!.replace(/^>>> .*\n/gm, '').replace(/^\$ /, ''));

export const readers: Record<string, Reader> = {
  'machine-file': {
    texts: (repository) => [...filesIn(join(repository, 'examples'), /\.toml$/), ...filesIn(join(repository, 'test/pure/complaints'), /\.toml$/)],
    read(text) {
      try {
        readSpec(text, 'fuzz.toml');
      } catch (error) {
        if (!(error instanceof Complaint)) throw error;
        mustBePlain(error.message);
        for (const line of error.message.split('\n')) if (!/^(fuzz\.toml:\d+:\d+: | {2})/.test(line) && line !== '') throw new Error(`a complaint without a place: ${line}`);
        throw error;
      }
    },
  },
  nspawn: { texts: (repository) => [...imports(repository, /^(nspawn|unit)-/), ...filesIn(join(repository, 'test/pure/golden/debian12'), /\.units$/)], read: (text) => readAs(text.includes('[Service]') ? 'unit' : 'nspawn', '/etc/systemd/nspawn/fuzz.nspawn', text) },
  shell: { texts: (repository) => imports(repository, /^(script|command)-/), read: (text) => readAs('shell', 'fuzz.sh', text) },
  lxc: { texts: (repository) => imports(repository, /^lxc-/), read: (text) => readAs('lxc', '/var/lib/lxc/fuzz/config', text) },
  distrobox: { texts: (repository) => imports(repository, /^distrobox-/), read: (text) => readAs('distrobox', 'distrobox.ini', text) },
  cdi: {
    texts: (repository) => [...filesIn(join(repository, 'test/pure/cdi/good'), /\.(ya?ml|json)$/), ...filesIn(join(repository, 'test/pure/cdi/bad'), /\.(ya?ml|json)$/)],
    read(text) {
      const { complaints, spec } = readCdi('/etc/cdi/fuzz.yaml', text);
      for (const complaint of complaints) mustBePlain(complaint);
      if (complaints.length === 0 && !spec) throw new Error('it is neither read nor refused');
    },
  },
};

/** Readers as they must not be: whoever watches has to find each of them out. */
export const faults: Record<string, Reader> = {
  'starts-a-program': { texts: () => ['true'], read: () => { spawnSync('/bin/true'); } },
  'never-ends': { texts: () => [''], read() { for (;;); } },
  waits: { texts: () => [''], read() { Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); } },
  'fills-the-memory': { texts: () => [''], read() { for (const all: string[][] = []; ; ) all.push(new Array<string>(1e6).fill('x')); } },
};
