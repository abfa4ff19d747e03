// The type of the release beside the runtime; its content is data.
declare const release: unknown;
export default release;
