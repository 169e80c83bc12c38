import { isAbsolute } from 'node:path/posix';
import type { Finding, Report } from './audit.ts';
import { type Danger, dangers, type Level, levelOf } from './dangers.ts';

/** Reports as SARIF 2.1.0 (docs.oasis-open.org/sarif/sarif/v2.1.0), which code hosts show beside the lines that they are about. */

/** "level" of a result: section 3.27.10. */
const severity: Record<Level, 'note' | 'warning' | 'error'> = { contained: 'note', exposed: 'warning', 'host-equivalent': 'error' };

/** A path as a relative reference, so that it is one of the repository that is looked at; section 3.4. */
const uriOf = (path: string): string => (isAbsolute(path) ? 'file://' : '') + path.replace(/^\.\//, '').split('/').map(encodeURIComponent).join('/');

export function sarif(reports: readonly Report[], version: string): unknown {
  const all = reports.flatMap((report) => report.findings.map((finding) => ({ ...finding, machine: report.name })));
  const found = [...new Set(all.map(({ can }) => can))];
  return {
    $schema: 'https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json',
    version: '2.1.0',
    runs: [{
      tool: { driver: { name: 'nestbox', version, rules: found.map(descriptor) } },
      results: all.map((finding) => resultOf(finding, found.indexOf(finding.can))),
    }],
  };
}

const descriptor = (danger: Danger) => ({
  id: danger, shortDescription: { text: `A hostile program inside could ${dangers[danger].does}.` },
  defaultConfiguration: { level: severity[levelOf(danger)] }, properties: { 'security-severity': (dangers[danger].weight / 10).toFixed(1), tags: ['security'] },
});

function resultOf({ can, what, where, smaller, rule, level, machine }: Finding & { machine: string }, ruleIndex: number) {
  return {
    ruleId: can, ruleIndex, level: severity[level],
    message: { text: `${machine}: ${what}.${where.line === null ? ` Nothing in the file says so: ${where.text}.` : ''}${smaller ? ` Smaller: ${smaller.say}; lost by it: ${smaller.loses}.` : ''}` },
    locations: [{ physicalLocation: { artifactLocation: { uri: uriOf(where.file) }, region: { startLine: where.line ?? 1, ...(where.column !== null && { startColumn: where.column }) } } }],
    properties: { rule },
  };
}
