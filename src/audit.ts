import { type Danger, dangers, floors, type Level, levelOf, levels } from './dangers.ts';
import type { Exposure, Smaller } from './edits.ts';
import { rules } from './audit/index.ts';
import type { Known, Made, Where } from './known.ts';
import type { Want } from './wants.ts';

/** What a hostile program in a container could do to the host, worst first (pure). */

/** One thing to look for. One file in audit/ is one of these. */
export interface Rule {
  /** What it looks for, in one line. */
  summary: string;
  look(known: Known): Found[];
}

export type Found = Omit<Exposure, 'at'> & { where: Where };

/** `rule`: of the file in audit/ that found it; grant: what was asked for says so itself. */
export type Finding = Found & { rule: string; level: Level };

export interface Report {
  name: string;
  made: Made;
  file: string;
  level: Level;
  /** From 0 to 100. */
  score: number;
  /** Worst first. */
  findings: Finding[];
  /** What could not be looked at: then there may be more. */
  unseen: string[];
}

/**
 * The weight of the worst, and a fortieth of the weights of the others, but never into the next level's part of the scale: so what is added
 * never lowers it, and no number of small things makes a great one.
 */
export function scoreOf(open: readonly Danger[]): number {
  const weights = [...new Set(open)].map((danger) => dangers[danger].weight).sort((a, b) => b - a);
  const [worst = 0, ...others] = weights;
  const ends = [...levels.slice(1).map((level) => floors[level] - 1), 100];
  return Math.min(ends.find((end) => worst <= end)!, Math.round(worst + others.reduce((sum, weight) => sum + weight / 40, 0)));
}

/** Where nothing is open, it is contained all the same. */
const worstLevel = (findings: readonly { level: Level }[]): Level => levels.findLast((level) => findings.some((one) => one.level === level)) ?? 'contained';

export function audit(known: Known): Report {
  const all = [
    ...known.opened.map((found) => ({ rule: 'grant', ...found })),
    ...Object.entries(rules).flatMap(([rule, { look }]) => look(known).map((found) => ({ rule, ...found }))),
  ];
  // A place that opens it in two ways says so once.
  const seen = new Set<string>();
  const once = all.filter(({ can, what, where: { file, line } }) => seen.size < seen.add(JSON.stringify([can, what, file, line])).size);
  const findings = once.map((found): Finding => ({ ...found, ...attainable(found, known), level: levelOf(found.can) })).sort((a, b) => dangers[b.can].weight - dangers[a.can].weight || (a.where.line ?? 1e9) - (b.where.line ?? 1e9));
  return { name: known.name, made: known.made, file: known.file, level: worstLevel(findings), score: scoreOf(findings.map(({ can }) => can)), findings, unseen: known.unseen };
}

/** Words that are refused where the engine lacks this. */
const asking: [word: RegExp, want: Want][] = [[/^users = "own"$/, 'own-ids'], [/^network = "private"$/, 'linked-network'], [/^network = "none"$/, 'no-network'], [/input = "visible"$/, 'visible-input']];

/** A smaller word that the engine would refuse takes another engine first. */
function attainable({ smaller }: Pick<Found, 'smaller'>, { lacks = [] }: Known): Pick<Found, 'smaller'> {
  const isRefused = smaller && asking.some(([word, want]) => lacks.includes(want) && word.test(smaller.say));
  return isRefused ? { smaller: { ...smaller, say: `engine = "nspawn", and ${smaller.say}` } } : {};
}

/** The word that would do, as it is said in the files of who made the container; where it makes none, nothing is advised. */
export const smallerFor = ({ made }: Known, words: Partial<Record<Made, string>>, loses: string): { smaller?: Smaller } => (words[made] === undefined ? {} : { smaller: { say: words[made], loses } });

/** Where nothing bounds how much of one thing of the host is used; `does`: what programs inside can do then. */
export const unbounded = (known: Known, bound: keyof Known['bounds'], can: Danger, does: string, words: Partial<Record<Made, string>>, loses: string): Found[] => {
  const said = known.bounds[bound];
  return said?.is === false ? [{ can, where: said.where, what: does, ...smallerFor(known, words, loses) }] : [];
};

/** What is looked for besides what is written: nothing is open that is not in the report. Those of these levels are told where they are shut. */
const shut = ({ findings }: Report): Danger[] => (Object.keys(dangers) as Danger[]).filter((danger) => levelOf(danger) !== 'contained' && !findings.some(({ can }) => can === danger));

const placeOf = ({ file, line, text }: Where): string => (line === null ? `not said in ${file}: ${text}` : `${file}:${line}: ${text}`);

/** For people. */
export function tell(report: Report): string {
  const { name, file, level, score, findings, unseen } = report;
  const cans = [...new Set(findings.map(({ can }) => can))];
  const closed = unseen.length > 0 ? [] : shut(report);
  return [
    `${name}: ${level}, ${score} of 100 (${file})`, '',
    cans.length === 0 ? 'Nothing was found that a hostile program inside could do.' : 'A hostile program inside could:',
    ...cans.flatMap((can) => ['', `  ${dangers[can].does}   [${levelOf(can)}]`, ...findings.filter((one) => one.can === can).flatMap(({ what, where, smaller }) => [
      `    ${placeOf(where)}`, `      ${what}`, ...(smaller ? [`      smaller: ${smaller.say}`, `      lost by it: ${smaller.loses}`] : []),
    ])]),
    ...(unseen.length > 0 ? ['', 'Not known:', ...unseen.map((line) => `  ${line}`)] : []),
    ...(closed.length > 0 ? ['', 'Nothing was found by which it could:', ...closed.map((danger) => `  ${dangers[danger].does}`)] : []),
  ].join('\n');
}
