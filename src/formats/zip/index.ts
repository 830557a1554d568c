// Owns: ZIP archives: their directory, and the content of stored and deflated members within their stated size.
// Refuses: encryption, links, archives above 4 GiB; what names mean (the caller checks them).
// Called by: store (wheels) and security (vulnerability databases).
export { brokenArchive, type ZipMember, type ZipOptions, zipMembers } from './zip-archive.ts';
