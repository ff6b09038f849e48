/** The benchmark page: `<tramontane-bench>` at full size, given an engine and the site's models. */
import '../ui/define.ts';
import { definePart } from '../ui/define-part.ts';
import { TramontaneBench } from './bench/bench.ts';
import { TramontanePage } from './page/page.ts';
import { supplyEngine } from './supply-engine.ts';

definePart('tramontane-page', TramontanePage);
definePart('tramontane-bench', TramontaneBench);

const bench = document.querySelector('tramontane-bench');
if (bench) void supplyEngine(bench);
