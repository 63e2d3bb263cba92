/** A CSV file as rows whose every cell can be found again by line and column. */
import { CsvError, parse } from "csv-parse/sync";
import {
  createSpeller,
  didYouMean,
  type KeyPath,
  type LazyOrigin,
  type Origin,
  type Problems,
  quote,
  renderPath,
} from "./problems.js";

/** What a file may and must have in its header. */
export interface TableColumns {
  readonly required: readonly string[];
  readonly optional: readonly string[];
}

/** One row. */
export interface TableRow {
  /** A cell without its outer blanks; empty when the table has no such column. */
  cell(column: string): string;
  /** The place of a cell, under the key path that its value has in the spec. */
  origin(column: string, path: KeyPath): LazyOrigin;
}

/**
 * Reads a table. Undefined when it cannot be read as one; `problems` says why. Rows of the wrong length are told and
 * left out.
 */
export function readTable(
  text: string,
  file: string,
  columns: TableColumns,
  problems: Problems,
): readonly TableRow[] | undefined {
  const content = text.replace(/^\uFEFF/, "");
  const start: Origin = { file, line: 1, column: 1, path: "" };
  if (content.includes("\u0000")) {
    problems.error(start, "This is not a text file, or not UTF-8. Save it as CSV in UTF-8.");
    return undefined;
  }
  const places = createPlaces(content, file);
  let records: readonly (readonly string[])[];
  try {
    records = parse(content, {
      relax_column_count: true,
      skip_empty_lines: true,
      record_delimiter: ["\r\n", "\n", "\r"],
    });
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    problems.error(places.after(Number(error["bytes"] ?? 0)), explainSyntax(error));
    return undefined;
  }
  const [header, ...body] = records;
  if (!header) {
    problems.error(start, `The file is empty; its first line names the columns: ${columns.required.join(",")}…`);
    return undefined;
  }
  const names = header.map((name) => name.trim());
  if (!checkHeader(names, columns, (index) => places.cell(0, index, ""), problems)) return undefined;

  const rows: TableRow[] = [];
  body.forEach((record, index) => {
    if (record.every((cell) => cell.trim() === "")) return;
    if (record.length !== names.length) {
      const at = Math.min(record.length, names.length) - (record.length < names.length ? 1 : 0);
      problems.error(
        places.cell(index + 1, at, ""),
        `This row has ${record.length} ${record.length === 1 ? "cell" : "cells"}, the header has ${names.length}. A cell that holds a comma goes in double quotes.`,
      );
      return;
    }
    rows.push({
      cell: (column) => record[names.indexOf(column)]?.trim() ?? "",
      origin: (column, path) => () => places.cell(index + 1, Math.max(names.indexOf(column), 0), renderPath(path)),
    });
  });
  return rows;
}

function checkHeader(
  names: readonly string[],
  { required, optional }: TableColumns,
  originOf: (index: number) => Origin,
  problems: Problems,
): boolean {
  const known = [...required, ...optional];
  const separator = [";", "\t", "|"].find((sign) => names.length === 1 && names[0]?.includes(sign));
  if (separator !== undefined) {
    const word = separator === "\t" ? "tabs" : quote(separator);
    problems.error(originOf(0), `The columns are separated by ${word}; separate them by commas.`);
    return false;
  }
  const speller = createSpeller(known);
  let isGood = true;
  names.forEach((name, index) => {
    const isDoubled = names.indexOf(name) !== index;
    if (known.includes(name) && !isDoubled) return;
    isGood = false;
    const message = isDoubled
      ? `The column ${quote(name)} stands here a second time.`
      : `There is no column ${quote(name)} in this table.${didYouMean(name, speller) || ` Columns: ${known.join(", ")}.`}`;
    problems.error(originOf(index), message);
  });
  const missing = required.filter((name) => !names.includes(name));
  if (missing.length > 0) {
    const word = missing.length === 1 ? "The column" : "The columns";
    problems.error(
      originOf(0),
      `${word} ${missing.join(", ")} ${missing.length === 1 ? "is" : "are"} missing. The first line is the header and names the columns: ${known.join(", ")}.`,
    );
  }
  return isGood && missing.length === 0;
}

function explainSyntax(error: CsvError): string {
  switch (error.code) {
    case "CSV_QUOTE_NOT_CLOSED":
      return "A double quote opens a cell here and is never closed.";
    case "INVALID_OPENING_QUOTE":
    case "CSV_INVALID_CLOSING_QUOTE":
      return 'Found a double quote in the middle of a cell. Put the whole cell in double quotes and double those inside: "a ""word"" here".';
    default:
      return `Not valid CSV: ${error.message}.`;
  }
}

/**
 * Finds places when one is asked for. The parser can tell where each row ends, but that doubles the time for files
 * that are right; so rows are found again here, by the same rules.
 */
function createPlaces(text: string, file: string) {
  const bytes = Buffer.from(text);
  let lineStarts: readonly number[] | undefined;
  let rowStarts: readonly number[] | undefined;

  function startsOfLines(): readonly number[] {
    if (lineStarts) return lineStarts;
    const starts = [0];
    for (let index = 0; index < bytes.length; index++) {
      const isReturn = bytes[index] === 0x0d && bytes[index + 1] !== 0x0a;
      if (bytes[index] === 0x0a || isReturn) starts.push(index + 1);
    }
    lineStarts = starts;
    return starts;
  }

  function placeAt(offset: number, path: string): Origin {
    const starts = startsOfLines();
    let [low, high] = [0, starts.length - 1];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((starts[middle] ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    const column = bytes.subarray(starts[low] ?? 0, offset).toString().length + 1;
    return { file, line: low + 1, column, path };
  }

  function startsOfRows(): readonly number[] {
    if (rowStarts) return rowStarts;
    const starts: number[] = [];
    let offset = skipLineBreaks(0);
    while (offset < bytes.length) {
      starts.push(offset);
      while (offset < bytes.length && !isLineBreak(offset)) offset = nextCell(offset);
      offset = skipLineBreaks(offset);
    }
    rowStarts = starts;
    return starts;
  }

  function isLineBreak(offset: number): boolean {
    return bytes[offset] === 0x0a || bytes[offset] === 0x0d;
  }

  function skipLineBreaks(from: number): number {
    let offset = from;
    while (isLineBreak(offset)) offset++;
    return offset;
  }

  function cell(row: number, cellIndex: number, path: string): Origin {
    let offset = startsOfRows()[row] ?? 0;
    for (let passed = 0; passed < cellIndex; passed++) offset = nextCell(offset);
    while (bytes[offset] === 0x20 || bytes[offset] === 0x09) offset++;
    return placeAt(offset, path);
  }

  function nextCell(from: number): number {
    let inQuotes = false;
    for (let index = from; index < bytes.length; index++) {
      const sign = bytes[index];
      if (sign === 0x22) inQuotes = !inQuotes;
      else if (!inQuotes && sign === 0x2c) return index + 1;
      else if (!inQuotes && isLineBreak(index)) return index;
    }
    return bytes.length;
  }

  /** The place that follows an offset: past the comma or line break that the parser had come to. */
  function after(offset: number): Origin {
    let index = skipLineBreaks(offset);
    if (bytes[index] === 0x2c) index++;
    return placeAt(index, "");
  }

  return { cell, after };
}
