// One small plugin per capability: each says what it needs and hands over to a module of its own.
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Dialog, ICommandPalette, showDialog } from '@jupyterlab/apputils';

/** The names of our commands, as the palette, menus and tests know them. */
export const CommandIDs = {
  about: 'nbdebug:about'
} as const;

/** Tells what nbdebug is and how a notebook turns it on. */
export const aboutPlugin: JupyterFrontEndPlugin<void> = {
  id: 'nbdebug:about',
  description: 'Adds the command "nbdebug: About" to the palette.',
  autoStart: true,
  optional: [ICommandPalette],
  activate: (app: JupyterFrontEnd, palette: ICommandPalette | null) => {
    app.commands.addCommand(CommandIDs.about, {
      label: 'nbdebug: About',
      describedBy: { args: { type: 'object', properties: {} } },
      execute: async () => {
        await showDialog({
          title: 'nbdebug',
          body: 'A debugger for notebooks. To use it, run %load_ext nbdebug in a cell.',
          buttons: [Dialog.okButton({ label: 'Close' })]
        });
      }
    });
    palette?.addItem({ command: CommandIDs.about, category: 'Debugger' });
  }
};
