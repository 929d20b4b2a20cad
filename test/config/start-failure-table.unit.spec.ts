import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { projectPath } from '../../src/common/project-path.js';

/** The literal text of an expression, with `…` for each value in it; several where a condition decides. */
function textsOf(node: ts.Expression): string[] {
  if (ts.isStringLiteralLike(node)) return [node.text];
  if (ts.isParenthesizedExpression(node)) return textsOf(node.expression);
  if (ts.isConditionalExpression(node)) return [...textsOf(node.whenTrue), ...textsOf(node.whenFalse)];
  if (ts.isTemplateExpression(node))
    return [node.head.text + node.templateSpans.map(({ literal }) => `…${literal.text}`).join('')];
  if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.PlusToken)
    return textsOf(node.left).flatMap((left) => textsOf(node.right).map((right) => left + right));
  return ['…'];
}

/** The sentences of failed starts: of `StartFailure`, of its local helper, and of what a start explains. */
function sentencesOfCode(): string[] {
  const sentences: string[] = [];
  for (const path of readdirSync(projectPath('src'), { recursive: true, encoding: 'utf8' })) {
    if (!path.endsWith('.ts')) continue;
    const text = readFileSync(join(projectPath('src'), path), 'utf8');
    const visit = (node: ts.Node): void => {
      const isFailure =
        (ts.isNewExpression(node) && node.expression.getText() === 'StartFailure') ||
        (ts.isCallExpression(node) && node.expression.getText() === 'failure');
      if (isFailure) sentences.push(...(node.arguments?.[0] === undefined ? [] : textsOf(node.arguments[0])));
      if (path === 'start-failures.ts' && ts.isReturnStatement(node) && node.expression !== undefined)
        sentences.push(...textsOf(node.expression));
      ts.forEachChild(node, visit);
    };
    visit(ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true));
  }
  return sentences.filter((sentence) => /[a-z]{3}/i.test(sentence.replaceAll('…', '')));
}

/** What the first column of the table quotes. */
function quotesOfTable(): string[] {
  const text = readFileSync(projectPath('docs/operations.md'), 'utf8');
  const table = text.slice(text.indexOf('## When something is wrong'));
  const rows = table.split('\n').filter((line) => line.startsWith('| '));
  return rows.flatMap((row) =>
    [...(row.split(' | ')[0] ?? '').matchAll(/`([^`]+)`/g)].map(([, quote]) => quote ?? ''),
  );
}

function patternOf(quote: string): RegExp {
  const parts = quote.split('…').map((part) => part.trim().replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(parts.join('.*'));
}

describe('the table of what can be wrong', () => {
  it('has a row for every sentence of a failed start', () => {
    const patterns = quotesOfTable().map(patternOf);
    const sentences = sentencesOfCode();
    expect(sentences.length).toBeGreaterThan(20);
    const missing = sentences.filter((sentence) => !patterns.some((pattern) => pattern.test(sentence)));
    expect(missing).toEqual([]);
  });
});
