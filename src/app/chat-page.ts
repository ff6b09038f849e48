/** The chat page: `<tramontane-chat>` at full size, given an engine and the site's models. */
import '../element/define.ts';
import { definePart } from '../ui/define-part.ts';
import { TramontanePage } from './page/page.ts';
import { supplyEngine } from './supply-engine.ts';

definePart('tramontane-page', TramontanePage);

const chat = document.querySelector('tramontane-chat');
if (chat) {
  // The import and storage pages lead here with the model that the person chose.
  chat.model = new URL(location.href).searchParams.get('model');
  void supplyEngine(chat);
}
