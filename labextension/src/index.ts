// What JupyterLab loads: the list of our plugins, and nothing else.
import { aboutPlugin } from './plugins';

export default [aboutPlugin];
