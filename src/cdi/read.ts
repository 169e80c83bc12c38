import { type Document, isAlias, isMap, isPair, isScalar, isSeq, LineCounter, type Node, parseDocument, visit } from 'yaml';
import type { CdiFile } from '../facts.ts';
import { check, isTable, type Mistake, type Path, shown } from '../mistakes.ts';
import { isKind } from './names.ts';
import { type CdiSpec, cdiSchema, furtherMistakes } from './schema.ts';

/** Text of a CDI file -> what it says, or `FILE:LINE:COLUMN: key: what is wrong` for every mistake. JSON is YAML too. */
export function readCdi(path: string, text: string): CdiFile {
  const lines = new LineCounter();
  const refused = (kind: string | null, complaints: { offset: number; told: string }[]): CdiFile => ({
    path, kind, spec: null,
    complaints: complaints.map(({ offset, told }) => {
      const { line, col } = lines.linePos(offset);
      return `${path}:${Math.max(line, 1)}:${Math.max(col, 1)}: ${told}`;
    }),
  });
  if (/[^\P{Cc}\t\r\n]/u.test(text)) return refused(null, [{ offset: 0, told: 'this is no text: it has control characters' }]);
  let document: Document.Parsed;
  try {
    document = parseDocument(text, { lineCounter: lines, prettyErrors: false, version: '1.2', schema: 'core', uniqueKeys: true, stringKeys: true, merge: false, logLevel: 'error' });
  } catch (error) {
    if (error instanceof RangeError) return refused(null, [{ offset: 0, told: tooDeep }]);
    throw error;
  }
  const worst = document.errors[0];
  if (worst && (worst.code === 'RESOURCE_EXHAUSTION' || worst.message.includes('call stack'))) return refused(null, [{ offset: 0, told: tooDeep }]);
  if (worst) return refused(null, [{ offset: worst.pos[0], told: plainly(worst.code, shown(worst.message)) }]);
  const forbidden = forbiddenIn(document);
  if (forbidden) return refused(null, [forbidden]);

  const value = valueOf(document.contents);
  if (value === null) return refused(null, [{ offset: 0, told: 'this file is empty\n  it names cdiVersion, kind and devices' }]);
  const kind = isTable(value) && typeof value.kind === 'string' && isKind(value.kind) ? value.kind : null;
  const mistakes: Mistake[] = [];
  const spec = check(cdiSchema, value, [], mistakes, elsewhere) as CdiSpec | undefined;
  if (spec && mistakes.length === 0) mistakes.push(...furtherMistakes(spec));
  if (spec && mistakes.length === 0) return { path, kind: spec.kind, spec, complaints: [] };
  const told = mistakes.map(({ path: at, what, mend }) => ({ offset: offsetOf(document.contents, at), told: `${at.length > 0 ? `${at.map((key) => shown(String(key))).join('.')}: ` : ''}${what}${mend ? `\n  ${mend}` : ''}` }));
  return refused(kind, told.sort((a, b) => a.offset - b.offset));
}

/** The reader of YAML goes as deep as the text does. */
const tooDeep = 'this is nested too deeply';

/** The tags of plain data: yaml.org, "Core Schema". */
const plainTags = ['str', 'int', 'float', 'bool', 'null', 'map', 'seq'].map((name) => `tag:yaml.org,2002:${name}`);

/** What could make a small text large, or a value something else than plain data. */
function forbiddenIn(document: Document.Parsed): { offset: number; told: string } | null {
  let found: { offset: number; told: string } | null = null;
  visit(document, {
    Node(_, node) {
      const told = isAlias(node) || node.anchor !== undefined ? 'anchors and aliases are not read in a file of this kind'
        : node.tag !== undefined && !plainTags.includes(node.tag) ? `the tag '${shown(node.tag)}' is not read in a file of this kind` : null;
      if (!told) return undefined;
      found = { offset: node.range?.[0] ?? 0, told: `${told}\n  write the value out` };
      return visit.BREAK;
    },
  });
  return found;
}

/** The keys of the other tables of such a file, where they stand in the wrong one. */
const places: Record<string, string> = {
  env: 'containerEdits', deviceNodes: 'containerEdits', netDevices: 'containerEdits', hooks: 'containerEdits', mounts: 'containerEdits', intelRdt: 'containerEdits', additionalGids: 'containerEdits',
  hostPath: 'deviceNodes and mounts', containerPath: 'mounts', options: 'mounts', hookName: 'hooks', cdiVersion: 'the top of the file', kind: 'the top of the file', devices: 'the top of the file',
};
const elsewhere = (key: string): string | undefined => (Object.hasOwn(places, key) ? `'${key}' belongs to ${places[key]}` : undefined);

/** The codes of the YAML reader's errors in a person's words; the rest are its own. */
function plainly(code: string, message: string): string {
  switch (code) {
    case 'DUPLICATE_KEY': return 'this key is there twice';
    case 'TAB_AS_INDENT': return 'a tab cannot indent a line in YAML: use spaces';
    case 'MULTIPLE_DOCS': return "there is more than one document in this file: '---' begins another one";
    case 'NON_STRING_KEY': return 'a key must be a text';
    case 'TAG_RESOLVE_FAILED': return 'this tag is not read in a file of this kind';
    case 'BAD_INDENT': return message.startsWith('Flow') ? 'a { or [ is not closed' : 'this line is not indented like those that it belongs to';
    default: return `this is neither JSON nor YAML: ${message.replace(/^./, (c) => c.toLowerCase())}`;
  }
}

/** Plain data, built by hand: nothing in the text can name a class or a prototype. */
function valueOf(node: unknown): unknown {
  // A key without a value is as if it were not there.
  if (isMap(node)) return Object.fromEntries(node.items.map(({ key, value }) => [String(isScalar(key) ? key.value : key), valueOf(value)] as const).filter(([, value]) => value !== null));
  if (isSeq(node)) return node.items.map((item) => (isPair(item) ? null : valueOf(item)));
  if (!isScalar(node)) return null;
  // 0660 is octal to all who read such files with Go's library, where YAML 1.2 takes it for a decimal number.
  if (typeof node.value === 'number' && /^0[0-7]+$/.test(node.source ?? '')) return Number.parseInt(node.source!, 8);
  return node.value;
}

/** Where the value at `at` stands, else the nearest thing around it; of a key, the key. */
function offsetOf(root: unknown, at: Path): number {
  let node = root;
  let offset = (root as Node | null)?.range?.[0] ?? 0;
  for (const key of at) {
    if (isMap(node)) {
      const pair = node.items.find((item) => String(isScalar(item.key) ? item.key.value : item.key) === String(key));
      if (!pair) return offset;
      offset = (pair.key as Node).range?.[0] ?? offset;
      node = pair.value;
    } else if (isSeq(node)) {
      const item = node.items[Number(key)] as Node | undefined;
      if (!item) return offset;
      offset = item.range?.[0] ?? offset;
      node = item;
    } else return offset;
  }
  return offset;
}
