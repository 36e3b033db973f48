package llb

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	bk "github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
)

// Head is the digest of a definition: that of the operation whose output is the
// result. A scratch image has none.
func Head(def *bk.Definition) (digest.Digest, error) {
	if len(def.Def) == 0 {
		return "", nil
	}
	return def.Head()
}

// JSON is a definition as JSON, one operation a line in the order of the
// definition, as `buildctl debug dump-llb` prints it: Op, Digest, OpMetadata. The
// last is the result.
func JSON(def *bk.Definition) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	for _, dt := range def.Def {
		var op pb.Op
		if err := op.UnmarshalVT(dt); err != nil {
			return nil, err
		}
		dgst := digest.FromBytes(dt)
		err := enc.Encode(struct {
			Op         *pb.Op
			Digest     digest.Digest
			OpMetadata *pb.OpMetadata
		}{&op, dgst, def.Metadata[dgst].ToPB()})
		if err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// Dump is a definition as text for people and golden files: an operation a
// paragraph, numbered, with its inputs by number. Digests other than images' do
// not show, so that a change shows where it is.
func Dump(def *bk.Definition) (string, error) {
	var b strings.Builder
	number := map[string]int{}
	for i, dt := range def.Def {
		var op pb.Op
		if err := op.UnmarshalVT(dt); err != nil {
			return "", err
		}
		dgst := digest.FromBytes(dt)
		number[string(dgst)] = i + 1
		d := dumper{b: &b, inputs: inputNames(&op, number)}
		if i == len(def.Def)-1 {
			fmt.Fprintf(&b, "result %s\n", d.inputs[0])
			break
		}
		meta := def.Metadata[dgst]
		fmt.Fprintf(&b, "#%d %s\n", i+1, meta.Description["llb.customname"])
		d.op(&op)
		d.meta(meta)
		b.WriteByte('\n')
	}
	return b.String(), nil
}

func inputNames(op *pb.Op, number map[string]int) []string {
	out := make([]string, len(op.Inputs))
	for i, in := range op.Inputs {
		out[i] = fmt.Sprintf("#%d", number[in.Digest])
		if in.Index != 0 {
			out[i] += fmt.Sprintf(".%d", in.Index)
		}
	}
	return out
}

type dumper struct {
	b      *strings.Builder
	inputs []string
}

func (d *dumper) line(format string, args ...any) { fmt.Fprintf(d.b, "  "+format+"\n", args...) }

// field writes a field that is not empty.
func (d *dumper) field(name, value string) {
	if value != "" {
		d.line("%s %s", name, value)
	}
}

func (d *dumper) input(i int64) string {
	if i < 0 || int(i) >= len(d.inputs) {
		return "scratch"
	}
	return d.inputs[i]
}

func (d *dumper) op(op *pb.Op) {
	switch o := op.Op.(type) {
	case *pb.Op_Source:
		d.line("source %s", o.Source.Identifier)
		for _, k := range slices.Sorted(maps.Keys(o.Source.Attrs)) {
			d.line("%s %s", k, o.Source.Attrs[k])
		}
	case *pb.Op_Exec:
		d.exec(o.Exec)
	case *pb.Op_File:
		for i, a := range o.File.Actions {
			d.file(a, i, len(op.Inputs))
		}
	case *pb.Op_Merge:
		var in []string
		for _, m := range o.Merge.Inputs {
			in = append(in, d.input(m.Input))
		}
		d.line("merge %s", strings.Join(in, " "))
	case *pb.Op_Diff:
		d.line("diff %s %s", d.input(o.Diff.Lower.Input), d.input(o.Diff.Upper.Input))
	default:
		d.line("%T", op.Op)
	}
	if p := op.Platform; p != nil {
		d.line("platform %s", path.Join(p.OS, p.Architecture, p.Variant))
	}
}

func (d *dumper) exec(e *pb.ExecOp) {
	m := e.Meta
	d.line("exec %q", m.Args)
	for _, kv := range m.Env {
		d.line("env %q", kv)
	}
	d.line("cwd %s", m.Cwd)
	d.field("user", m.User)
	d.field("hostname", m.Hostname)
	d.field("cgroup", m.CgroupParent)
	for _, h := range m.ExtraHosts {
		d.line("host %s %s", h.Host, h.IP)
	}
	for _, u := range m.Ulimit {
		d.line("ulimit %s %d:%d", u.Name, u.Soft, u.Hard)
	}
	if p := m.ProxyEnv; p != nil {
		d.line("proxy %s", strings.Join([]string{p.HttpProxy, p.HttpsProxy, p.FtpProxy, p.NoProxy, p.AllProxy}, " "))
	}
	if e.Network != pb.NetMode_UNSET {
		d.line("network %s", strings.ToLower(e.Network.String()))
	}
	if e.Security != pb.SecurityMode_SANDBOX {
		d.line("security %s", strings.ToLower(e.Security.String()))
	}
	for _, c := range e.CdiDevices {
		d.line("device %s%s", c.Name, when(c.Optional, " optional"))
	}
	for _, s := range e.Secretenv {
		d.line("secretenv %s %s%s", s.Name, s.ID, when(s.Optional, " optional"))
	}
	for _, mnt := range e.Mounts {
		d.mount(mnt)
	}
}

func when(b bool, s string) string {
	if b {
		return s
	}
	return ""
}

func (d *dumper) mount(m *pb.Mount) {
	text := "mount " + m.Dest + " " + strings.ToLower(m.MountType.String())
	switch m.MountType {
	case pb.MountType_SECRET:
		o := m.SecretOpt
		text += fmt.Sprintf(" %s uid=%d gid=%d mode=%04o%s", o.ID, o.Uid, o.Gid, o.Mode, when(o.Optional, " optional"))
	case pb.MountType_SSH:
		o := m.SSHOpt
		text += fmt.Sprintf(" %q uid=%d gid=%d mode=%04o%s", o.ID, o.Uid, o.Gid, o.Mode, when(o.Optional, " optional"))
	case pb.MountType_TMPFS:
		if n := m.TmpfsOpt.GetSize(); n != 0 {
			text += fmt.Sprintf(" size=%d", n)
		}
	default:
		text += " " + d.input(m.Input)
		if m.Selector != "" {
			text += " " + m.Selector
		}
	}
	if c := m.CacheOpt; c != nil {
		text += fmt.Sprintf(" id=%s %s", c.ID, strings.ToLower(c.Sharing.String()))
	}
	text += when(m.Readonly, " readonly")
	text += when(m.Output >= 0, fmt.Sprintf(" output=%d", m.Output))
	d.line("%s", text)
}

// file writes an action; inputs counts the operation's, behind which the
// results of earlier actions are numbered.
func (d *dumper) file(a *pb.FileAction, index, inputs int) {
	name := func(i int64) string {
		if int(i) >= inputs {
			return fmt.Sprintf("action %d", int(i)-inputs+1)
		}
		return d.input(i)
	}
	d.line("action %d on %s%s", index+1, name(a.Input), when(a.Output >= 0, fmt.Sprintf(" output=%d", a.Output)))
	switch x := a.Action.(type) {
	case *pb.FileAction_Copy:
		d.copy(x.Copy, name(a.SecondaryInput))
	case *pb.FileAction_Mkdir:
		d.line("  mkdir %s mode=%04o%s%s%s", x.Mkdir.Path, x.Mkdir.Mode, when(x.Mkdir.MakeParents, " parents"), ownerText(x.Mkdir.Owner), timeText(x.Mkdir.Timestamp))
	case *pb.FileAction_Rm:
		d.line("  rm %s%s%s", x.Rm.Path, when(x.Rm.AllowWildcard, " wildcards"), when(x.Rm.AllowNotFound, " optional"))
	case *pb.FileAction_Symlink:
		d.line("  symlink %s to %s%s%s", x.Symlink.Newpath, x.Symlink.Oldpath, ownerText(x.Symlink.Owner), timeText(x.Symlink.Timestamp))
	case *pb.FileAction_Mkfile:
		d.line("  mkfile %s mode=%04o %q%s", x.Mkfile.Path, x.Mkfile.Mode, x.Mkfile.Data, ownerText(x.Mkfile.Owner))
	default:
		d.line("  %T", a.Action)
	}
}

func (d *dumper) copy(c *pb.FileActionCopy, from string) {
	text := fmt.Sprintf("  copy %s %q to %q", from, c.Src, c.Dest)
	if c.ModeStr != "" {
		text += " mode=" + c.ModeStr
	} else if c.Mode >= 0 {
		text += fmt.Sprintf(" mode=%04o", c.Mode)
	}
	text += ownerText(c.Owner) + when(c.AttemptUnpackDockerCompatibility, " unpack")
	if len(c.IncludePatterns) > 0 {
		text += fmt.Sprintf(" include=%q", c.IncludePatterns)
	}
	if len(c.ExcludePatterns) > 0 {
		text += fmt.Sprintf(" exclude=%q", c.ExcludePatterns)
	}
	if len(c.RequiredPaths) > 0 {
		text += fmt.Sprintf(" required=%q", c.RequiredPaths)
	}
	d.line("%s", text)
}

func timeText(t int64) string {
	if t < 0 {
		return ""
	}
	return fmt.Sprintf(" time=%d", t)
}

func ownerText(o *pb.ChownOpt) string {
	if o == nil {
		return ""
	}
	part := func(u *pb.UserOpt) string {
		switch x := u.GetUser().(type) {
		case *pb.UserOpt_ByName:
			return x.ByName.Name
		case *pb.UserOpt_ByID:
			return fmt.Sprint(x.ByID)
		}
		return ""
	}
	return " owner=" + part(o.User) + when(o.Group != nil, ":"+part(o.Group))
}

// meta writes what is not in the digest but has an effect.
func (d *dumper) meta(m bk.OpMetadata) {
	if m.IgnoreCache {
		d.line("no cache")
	}
	if l := m.LinuxResources; l != nil {
		d.line("limits memory=%d swap=%d shares=%d period=%d quota=%d cpus=%s mems=%s", l.Memory, l.MemorySwap, l.CpuShares, l.CpuPeriod, l.CpuQuota, l.CpusetCpus, l.CpusetMems)
	}
}
