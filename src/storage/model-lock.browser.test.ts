import './model-lock.test.ts';
