// Sorts the list of samples and enlarges pictures in report.html. Without it both stay readable.
(() => {
    const collator = new Intl.Collator(undefined, {numeric: true});
    const dialog = /** @type {HTMLDialogElement} */ (document.querySelector('dialog.viewer'));
    /**
     * @typedef {object} Shot A picture, or several of one sample, that are enlarged together.
     * @property {HTMLButtonElement} button What opens it.
     * @property {string} name
     * @property {string} score
     * @property {HTMLImageElement[]} images
     */
    /** @type {{shots: Shot[], place: number, opener: HTMLElement | null}} */
    const shown = {shots: [], place: 0, opener: null};

    /**
     * An element below another one that the page always has.
     * @param {ParentNode} parent
     * @param {string} selector
     * @returns {HTMLElement}
     */
    const part = (parent, selector) => /** @type {HTMLElement} */ (parent.querySelector(selector));

    /** @param {string} className */
    function makeButton(className) {
        const button = document.createElement('button');
        button.type = 'button';
        button.className = className;
        return button;
    }

    // Sorting

    /** @param {HTMLTableElement} table */
    function makeSortable(table) {
        for (const heading of table.querySelectorAll('th[data-sort]')) {
            const button = makeButton('sort');
            button.append(...heading.childNodes);
            heading.append(button);
            button.addEventListener('click', () => sort(table, /** @type {HTMLTableCellElement} */ (heading)));
        }
    }

    /**
     * Sort the rows by a column: upwards, or the other way if they are sorted by it. Gaps come last either way.
     * @param {HTMLTableElement} table
     * @param {HTMLTableCellElement} heading
     */
    function sort(table, heading) {
        const direction = heading.getAttribute('aria-sort') === 'ascending' ? 'descending' : 'ascending';
        for (const other of table.querySelectorAll('th[aria-sort]')) other.removeAttribute('aria-sort');
        heading.setAttribute('aria-sort', direction);
        const sign = direction === 'ascending' ? 1 : -1;
        const numbers = heading.dataset.sort === 'number';
        const rows = [...table.tBodies[0].rows].map(row => ({row, text: row.cells[heading.cellIndex].textContent ?? ''}));
        rows.sort((a, b) => {
            if (!numbers) return sign * collator.compare(a.text, b.text);
            const [left, right] = [Number(a.text), Number(b.text)];
            return Number.isNaN(left) || Number.isNaN(right)
                ? Number(Number.isNaN(left)) - Number(Number.isNaN(right))
                : sign * (left - right);
        });
        table.tBodies[0].append(...rows.map(({row}) => row));
    }

    // Enlarging

    /**
     * Put a button around images; it opens them in the viewer.
     * @param {HTMLElement} first What the button takes the place of.
     * @param {HTMLElement[]} inside
     * @param {string} name
     * @param {string} score
     * @param {() => Shot[]} others All shots that the viewer steps through, this one among them.
     * @returns {Shot}
     */
    function makeShot(first, inside, name, score, others) {
        const button = makeButton('enlarge');
        const images = inside.flatMap(one => one instanceof HTMLImageElement ? [one] : [...one.querySelectorAll('img')]);
        button.setAttribute('aria-label', `Enlarge ${images.length > 1 ? name : images[0].alt || name}`);
        first.before(button);
        button.append(...inside);
        const shot = {button, name, score, images};
        button.addEventListener('click', () => {
            const shots = others();
            Object.assign(shown, {shots, place: shots.indexOf(shot), opener: button});
            show();
            dialog.showModal();
        });
        return shot;
    }

    /** Fill the viewer with the chosen shot. */
    function show() {
        const {name, score, images} = shown.shots[shown.place];
        part(dialog, '#viewer-name').textContent = name;
        part(dialog, '.number').textContent = score;
        part(dialog, '.place').textContent = `${shown.place + 1} of ${shown.shots.length}`;
        const figures = images.map(image => {
            const figure = document.createElement('figure');
            const large = /** @type {HTMLImageElement} */ (image.cloneNode());
            const caption = document.createElement('figcaption');
            caption.textContent = image.title || image.closest('.panel')?.querySelector('span')?.textContent || '';
            large.loading = 'eager';
            large.removeAttribute('title');
            figure.append(large, caption);
            return figure;
        });
        part(dialog, '.views').replaceChildren(...figures);
        for (const selector of ['.back', '.next']) part(dialog, selector).hidden = shown.shots.length < 2;
    }

    /** @param {number} by */
    function step(by) {
        shown.place = (shown.place + by + shown.shots.length) % shown.shots.length;
        show();
    }

    part(dialog, '.back').addEventListener('click', () => step(-1));
    part(dialog, '.next').addEventListener('click', () => step(1));
    part(dialog, '.close').addEventListener('click', () => dialog.close());
    dialog.addEventListener('click', event => {
        if (event.target === dialog) dialog.close(); // beside its content
    });
    dialog.addEventListener('keydown', event => {
        const by = {ArrowLeft: -1, ArrowRight: 1}[event.key];
        if (by) step(by);
    });
    dialog.addEventListener('close', () => shown.opener?.focus());

    for (const table of /** @type {NodeListOf<HTMLTableElement>} */ (document.querySelectorAll('table.listing'))) {
        makeSortable(table);
        /** @type {Map<HTMLTableRowElement, Shot>} */
        const shots = new Map();
        const inOrder = () => [...table.tBodies[0].rows].flatMap(row => shots.get(row) ?? []);
        for (const row of table.tBodies[0].rows) {
            const pictures = /** @type {HTMLElement | null} */ (row.querySelector('.shots'));
            if (!pictures) continue;
            const name = part(row, 'th').textContent ?? '';
            const score = part(row, 'th + td').textContent ?? '';
            shots.set(row, makeShot(pictures, [pictures], name, score, inOrder));
        }
    }
    for (const figure of document.querySelectorAll('figure.example')) {
        /** @type {Shot[]} */
        const shots = [];
        const name = figure.querySelector('.headline b')?.textContent ?? '';
        const score = figure.querySelector('.headline .number')?.textContent ?? '';
        for (const image of figure.querySelectorAll('img')) {
            if (image.parentElement?.matches('.panel, .wide-panel')) {
                shots.push(makeShot(image, [image], name, score, () => shots));
            }
        }
    }
    for (const hint of document.querySelectorAll('p.hint')) hint.removeAttribute('hidden');
})();
