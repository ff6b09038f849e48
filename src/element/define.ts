/** Import this for its effect: it registers `<tramontane-chat>` and its parts. */
import '../ui/define.ts';
import { definePart } from '../ui/define-part.ts';
import { TramontaneChat } from './tramontane-chat.ts';

definePart('tramontane-chat', TramontaneChat);
