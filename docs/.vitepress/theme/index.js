// The default theme with the fonts of the reader's system.
// oxlint-disable-next-line import/no-unassigned-import -- Vite takes the styles from it
import './style.css';

// oxlint-disable-next-line import/no-default-export -- VitePress asks for it
export { default } from 'vitepress/theme-without-fonts';
