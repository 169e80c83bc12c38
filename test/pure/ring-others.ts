import { runHalf } from './ring.ts';

await runHalf('others');
