/** What `<tramontane-chat>` tells the page around it. All bubble and cross shadow borders; none can be cancelled. */
import type { TramontaneError } from '../base/errors.ts';
import type { LoadedModel } from '../engine/api.ts';
import type { ConversationMessage, ConversationSettings } from '../storage/conversations.ts';

const reachingOut: EventInit = { bubbles: true, composed: true };

/** A model is ready to answer. */
export class TramontaneModelLoadedEvent extends Event {
  constructor(readonly model: LoadedModel) {
    super('tramontane-model-loaded', reachingOut);
  }
}

/** The person, or the page, sent a message. */
export class TramontaneMessageSentEvent extends Event {
  constructor(readonly message: ConversationMessage) {
    super('tramontane-message-sent', reachingOut);
  }
}

/** An answer ended, in whatever way: `message.end` tells. */
export class TramontaneAnswerFinishedEvent extends Event {
  constructor(readonly message: ConversationMessage) {
    super('tramontane-answer-finished', reachingOut);
  }
}

/** The conversation was emptied. */
export class TramontaneConversationClearedEvent extends Event {
  constructor() {
    super('tramontane-conversation-cleared', reachingOut);
  }
}

/** The conversation that was emptied is back. */
export class TramontaneConversationRestoredEvent extends Event {
  constructor() {
    super('tramontane-conversation-restored', reachingOut);
  }
}

/** The person changed the settings. */
export class TramontaneSettingsChangedEvent extends Event {
  constructor(readonly settings: ConversationSettings) {
    super('tramontane-settings-changed', reachingOut);
  }
}

/** Something failed; the element shows it already. */
export class TramontaneErrorOccurredEvent extends Event {
  constructor(readonly error: TramontaneError | Error) {
    super('tramontane-error-occurred', reachingOut);
  }
}

declare global {
  interface GlobalEventHandlersEventMap {
    'tramontane-model-loaded': TramontaneModelLoadedEvent;
    'tramontane-message-sent': TramontaneMessageSentEvent;
    'tramontane-answer-finished': TramontaneAnswerFinishedEvent;
    'tramontane-conversation-cleared': TramontaneConversationClearedEvent;
    'tramontane-conversation-restored': TramontaneConversationRestoredEvent;
    'tramontane-settings-changed': TramontaneSettingsChangedEvent;
    'tramontane-error-occurred': TramontaneErrorOccurredEvent;
  }
}
