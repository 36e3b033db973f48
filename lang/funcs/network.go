package funcs

import (
	"math/big"
	"net"

	"github.com/apparentlymart/go-cidr/cidr"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/gocty"
)

// Of package net these use the arithmetic on addresses only.
var networkRows = []row{
	{Func: Func{
		Name: "cidrhost", Func: cidrHostFunc, Group: GroupNetwork, Params: []string{"prefix", "hostnum"},
		Doc:     "Gives the address of a host in a network, by number; a negative number counts from the end.",
		Example: `cidrhost("10.12.112.0/20", 16)`, Result: `"10.12.112.16"`,
	}},
	{Func: Func{
		Name: "cidrnetmask", Func: cidrNetmaskFunc, Group: GroupNetwork, Params: []string{"prefix"},
		Doc:     "Gives the netmask of an IPv4 network.",
		Example: `cidrnetmask("172.16.0.0/12")`, Result: `"255.240.0.0"`,
	}},
	{Func: Func{
		Name: "cidrsubnet", Func: cidrSubnetFunc, Group: GroupNetwork, Params: []string{"prefix", "newbits", "netnum"},
		Doc:     "Gives a subnet of a network: how many bits longer its prefix is, and its number.",
		Example: `cidrsubnet("172.16.0.0/12", 4, 2)`, Result: `"172.18.0.0/16"`,
	}},
	{Func: Func{
		Name: "cidrsubnets", Func: cidrSubnetsFunc, Group: GroupNetwork, Params: []string{"prefix", "newbits..."},
		Doc:     "Gives consecutive subnets of a network, one for each number of bits its prefix is longer.",
		Example: `cidrsubnets("10.1.0.0/16", 4, 4, 8)`, Result: `["10.1.0.0/20", "10.1.16.0/20", "10.1.32.0/24"]`,
	}},
}

var cidrHostFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "prefix", Type: cty.String}, {Name: "hostnum", Type: cty.Number}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		network, err := parseNetwork(args)
		if err != nil {
			return cty.NilVal, err
		}
		num, err := wholeNumber(args, 1)
		if err != nil {
			return cty.NilVal, err
		}
		ip, err := cidr.HostBig(network, num)
		if err != nil {
			return cty.NilVal, function.NewArgError(1, err)
		}
		return cty.StringVal(ip.String()), nil
	},
})

var cidrNetmaskFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "prefix", Type: cty.String}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		network, err := parseNetwork(args)
		if err != nil {
			return cty.NilVal, err
		}
		if len(network.Mask) != net.IPv4len {
			return cty.NilVal, function.NewArgErrorf(0, "IPv6 networks have no netmask")
		}
		return cty.StringVal(net.IP(network.Mask).String()), nil
	},
})

var cidrSubnetFunc = function.New(&function.Spec{
	Params: []function.Parameter{
		{Name: "prefix", Type: cty.String},
		{Name: "newbits", Type: cty.Number},
		{Name: "netnum", Type: cty.Number},
	},
	Type: function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		network, err := parseNetwork(args)
		if err != nil {
			return cty.NilVal, err
		}
		newBits, err := newBits(network, args, 1)
		if err != nil {
			return cty.NilVal, err
		}
		num, err := wholeNumber(args, 2)
		if err != nil {
			return cty.NilVal, err
		}
		if num.Sign() < 0 || num.BitLen() > newBits {
			return cty.NilVal, function.NewArgErrorf(2, "%d more bits number the subnets from 0 to %s; %s is not among them",
				newBits, new(big.Int).Sub(size(newBits), big.NewInt(1)), num)
		}
		return subnet(network, newBits, num)
	},
})

var cidrSubnetsFunc = function.New(&function.Spec{
	Params:   []function.Parameter{{Name: "prefix", Type: cty.String}},
	VarParam: &function.Parameter{Name: "newbits", Type: cty.Number},
	Type:     function.StaticReturnType(cty.List(cty.String)),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		network, err := parseNetwork(args)
		if err != nil {
			return cty.NilVal, err
		}
		if len(args) == 1 {
			return cty.ListValEmpty(cty.String), nil
		}
		ones, bits := network.Mask.Size()
		end := size(bits - ones)
		next := new(big.Int) // the first free address, counted from the network's own
		subnets := make([]cty.Value, 0, len(args)-1)
		for i := 1; i < len(args); i++ {
			newBits, err := newBits(network, args, i)
			if err != nil {
				return cty.NilVal, err
			}
			hostBits := uint(bits - ones - newBits)
			step := size(int(hostBits))
			// A subnet starts at a multiple of its own size.
			num := new(big.Int).Add(next, step)
			num.Sub(num, big.NewInt(1)).Rsh(num, hostBits)
			next.Lsh(num, hostBits)
			if next.Add(next, step); next.Cmp(end) > 0 {
				return cty.NilVal, function.NewArgErrorf(i, "there is no room left in %s for a subnet with a /%d prefix", network, ones+newBits)
			}
			v, err := subnet(network, newBits, num)
			if err != nil {
				return cty.NilVal, err
			}
			subnets = append(subnets, v)
		}
		return cty.ListVal(subnets), nil
	},
})

// parseNetwork reads the first argument.
func parseNetwork(args []cty.Value) (*net.IPNet, error) {
	_, network, err := net.ParseCIDR(args[0].AsString())
	if err != nil {
		return nil, function.NewArgErrorf(0, "%q is not a network in CIDR notation such as 10.0.0.0/8", args[0].AsString())
	}
	return network, nil
}

func subnet(network *net.IPNet, newBits int, num *big.Int) (cty.Value, error) {
	s, err := cidr.SubnetBig(network, newBits, num)
	if err != nil {
		return cty.NilVal, err
	}
	return cty.StringVal(s.String()), nil
}

// newBits reads the argument i as a number of bits by which network's prefix
// can grow.
func newBits(network *net.IPNet, args []cty.Value, i int) (int, error) {
	ones, bits := network.Mask.Size()
	var n int
	if err := gocty.FromCtyValue(args[i], &n); err != nil || n < 0 || n > bits-ones {
		return 0, function.NewArgErrorf(i, "the prefix of %s can grow by a whole number of bits from 0 to %d", network, bits-ones)
	}
	return n, nil
}

func wholeNumber(args []cty.Value, i int) (*big.Int, error) {
	n, accuracy := args[i].AsBigFloat().Int(nil)
	if accuracy != big.Exact {
		return nil, function.NewArgErrorf(i, "a whole number is required")
	}
	return n, nil
}

// size is how many addresses, or subnets, a number of bits can tell apart.
func size(bits int) *big.Int { return new(big.Int).Lsh(big.NewInt(1), uint(bits)) }
