// The operator for those who run it in a process of their own.

export { createOperator, type OperatorOptions, type OperatorProcess } from './operator.ts';
export { readSettings, type Settings } from './settings.ts';
