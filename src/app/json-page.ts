/** The JSON page: the playground at full size, given an engine and the site's models. */
import '../ui/define.ts';
import { definePart } from '../ui/define-part.ts';
import { TramontaneJson } from './json/json.ts';
import { TramontanePage } from './page/page.ts';
import { supplyEngine } from './supply-engine.ts';

definePart('tramontane-page', TramontanePage);
definePart('tramontane-json', TramontaneJson);

const playground = document.querySelector('tramontane-json');
if (playground) void supplyEngine(playground);
