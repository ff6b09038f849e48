/** Registers the parts. */
import { TramontaneComposer } from './composer/composer.ts';
import { TramontaneContextSlider } from './context-slider/context-slider.ts';
import { definePart } from './define-part.ts';
import { TramontaneMarkdown } from './markdown/markdown.ts';
import { TramontaneMessage } from './message/message.ts';
import { TramontaneModelCard } from './model-card/model-card.ts';
import { TramontaneProgress } from './progress/progress.ts';
import { TramontaneSettingsPanel } from './settings-panel/settings-panel.ts';

definePart('tramontane-composer', TramontaneComposer);
definePart('tramontane-context-slider', TramontaneContextSlider);
definePart('tramontane-markdown', TramontaneMarkdown);
definePart('tramontane-message', TramontaneMessage);
definePart('tramontane-model-card', TramontaneModelCard);
definePart('tramontane-progress', TramontaneProgress);
definePart('tramontane-settings-panel', TramontaneSettingsPanel);
