package importer

import (
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// step writes an instruction that does something.
func (im *importer) step(st *stage, s *step) {
	switch c := s.cmd.(type) {
	case *instructions.RunCommand:
		im.run(st, s, c)
	case *instructions.CopyCommand:
		im.copy(st, s, copyCmd{
			files: c.SourcesAndDest, from: s.from, chown: c.Chown, chmod: c.Chmod, link: c.Link, parents: c.Parents, exclude: c.ExcludePatterns,
		})
	case *instructions.AddCommand:
		unpack := c.Unpack == nil || *c.Unpack
		im.copy(st, s, copyCmd{
			files: c.SourcesAndDest, chown: c.Chown, chmod: c.Chmod, link: c.Link, exclude: c.ExcludePatterns,
			add: true, unpack: &unpack, asked: c.Unpack, checksum: c.Checksum, keepGit: c.KeepGitDir,
		})
	default:
		im.unsayable(s.node, "An instruction that hbuild does not know", "%s has no counterpart.", strings.ToUpper(s.cmd.Name()))
	}
}
