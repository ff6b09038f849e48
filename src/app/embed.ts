/**
 * What other pages import: `embed.js` in the built site. Registers `<tramontane-chat>`; docs/embedding.md tells the rest.
 */
import '../element/define.ts';

export { TramontaneError } from '../base/errors.ts';
export * from '../element/events.ts';
export { TramontaneChat } from '../element/tramontane-chat.ts';
export { loadSiteModels } from '../models/catalogue.ts';
export { IndexedDbConversationStore, MemoryConversationStore } from '../storage/conversations.ts';
export { createWorkerEngine } from '../worker/client.ts';
