/** What other pages import for a benchmark: `embed-bench.js` in the built site. Registers `<tramontane-bench>`. */
import '../ui/define.ts';
import { definePart } from '../ui/define-part.ts';
import { TramontaneBench } from './bench/bench.ts';

definePart('tramontane-bench', TramontaneBench);

export { TramontaneError } from '../base/errors.ts';
export { toCsv, toJson, toMarkdown } from '../bench/export.ts';
export type { BenchReport } from '../bench/report.ts';
export { loadSiteModels } from '../models/catalogue.ts';
export { createWorkerEngine } from '../worker/client.ts';
export { TramontaneBenchFinishedEvent } from './bench/events.ts';
export { TramontaneBench };
