import { digest } from './digest.ts';

/** The name of a template: readable, and another one as soon as anything differs that it is built from. */
export const templateKey = (source: string, label: string, from: Record<string, unknown>): string =>
  `${source}-${label.replace(/[^a-zA-Z0-9.-]/g, '').slice(0, 40)}-${digest(JSON.stringify(from)).toString('hex').slice(0, 16)}`;
