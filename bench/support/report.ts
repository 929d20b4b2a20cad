import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { projectPath } from '../../src/common/project-path.js';
import type { Comparison } from './comparison.js';
import { canPin } from './pinning.js';

const DOCUMENT = projectPath('docs/performance.md');

/** A Markdown table, its columns padded; the first is text, the others are numbers. */
export function markdownTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((_name, column) =>
    Math.max(...[header, ...rows].map((cells) => (cells[column] ?? '').length)),
  );
  const line = (cells: readonly string[]) => {
    const padded = cells.map((cell, column) => {
      const width = widths[column] ?? 0;
      return column === 0 ? cell.padEnd(width) : cell.padStart(width);
    });
    return `| ${padded.join(' | ')} |`;
  };
  const rule = widths.map(
    (width, column) => '-'.repeat(width - (column === 0 ? 0 : 1)) + (column === 0 ? '' : ':'),
  );
  return [line(header), line(rule), ...rows.map(line)].join('\n');
}

/** The columns of `comparisonRow`; `subject` and `reference` say who did how many of what. */
export function comparisonHeader(name: string, subject: string, reference: string): string[] {
  const figures = ['p50 ms', 'p99 ms', 'CPU µs'];
  return [name, 'ratio (least–most)', `${subject}/s`, ...figures, `${reference}/s`, ...figures];
}

/** A comparison as cells of a table. */
export function comparisonRow({ name, subject, reference, ratio }: Comparison): string[] {
  const figures = ({ requestsPerSecond, p50Ms, p99Ms, cpuMicroseconds }: Comparison['subject']) =>
    [requestsPerSecond, p50Ms, p99Ms, cpuMicroseconds].map(rounded);
  const ratios = `${ratio.ofMedians.toFixed(2)} (${ratio.least.toFixed(2)}–${ratio.most.toFixed(2)})`;
  return [name, ratios, ...figures(subject), ...figures(reference)];
}

/** Where and when figures were taken: a sentence to stand above them. */
export function provenance(): string {
  const date = new Date().toISOString().slice(0, 10);
  const commit = git('rev-parse', '--short', 'HEAD');
  const isChanged = git('status', '--porcelain', '--', 'src', 'bench', 'package-lock.json') !== '';
  const cores = `${availableParallelism()} × ${cpus()[0]?.model.trim() ?? 'unknown CPU'}`;
  const pinning = canPin() ? '' : ', not pinned to cores (no `taskset`)';
  return `*${date}, commit ${commit}${isChanged ? ' with changes' : ''}, Node ${process.version}, ${cores}${pinning}.*`;
}

/** Replaces what stands between `<!-- name -->` and `<!-- /name -->` in docs/performance.md. */
export function writeToDocument(name: string, text: string): void {
  const document = readFileSync(DOCUMENT, 'utf8');
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const [from, to] = [document.indexOf(begin), document.indexOf(end)];
  if (from === -1 || to < from) throw new Error(`docs/performance.md has no ${begin} … ${end}.`);
  writeFileSync(DOCUMENT, `${document.slice(0, from + begin.length)}\n${text}\n${document.slice(to)}`);
}

/** A number with as many digits as tell something. */
export function rounded(value: number | undefined): string {
  if (value === undefined) return '–';
  if (value >= 100) return Math.round(value).toLocaleString('en').replaceAll(',', ' ');
  return value.toFixed(value >= 10 ? 1 : 2);
}

function git(...gitArguments: string[]): string {
  try {
    return execFileSync('git', gitArguments, {
      cwd: projectPath('.'),
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return 'unknown';
  }
}
