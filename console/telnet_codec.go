package console

// Telnet commands (RFC 854, page 14).
const (
	cmdSE    = 240
	cmdBreak = 243
	cmdSB    = 250
	cmdWill  = 251
	cmdWont  = 252
	cmdDo    = 253
	cmdDont  = 254
	cmdIAC   = 255
)

// Telnet options.
const (
	optBinary          = 0  // RFC 856
	optEcho            = 1  // RFC 857
	optSuppressGoAhead = 3  // RFC 858
	optComPort         = 44 // RFC 2217
)

// maxSubnegotiation bounds a subnegotiation; one that is longer, or whose end
// was lost, is dropped.
const maxSubnegotiation = 4 << 10

// agreement is one side's state of an option, after RFC 1143 without its queue,
// as no option is asked for twice.
type agreement byte

const (
	refused agreement = iota
	asked
	agreed
)

type telnetState byte

const (
	inData telnetState = iota
	inCommand
	inOption
	inSub
	inSubCommand
)

// telnetCodec translates between the bytes of a connection and those of the
// console. It does no I/O; its zero value is a fresh connection.
type telnetCodec struct {
	comPort bool                            // option 44 is spoken
	onSub   func(option byte, value []byte) // a subnegotiation came; value is only lent
	ours    [256]agreement                  // options that we perform
	theirs  [256]agreement                  // options that they perform
	answer  []byte                          // to be sent
	state   telnetState
	command byte // of inOption
	sub     []byte
	afterCR bool
}

// decode appends to dst the data in src.
func (c *telnetCodec) decode(dst, src []byte) []byte {
	for _, b := range src {
		switch c.state {
		case inData:
			switch {
			case b == cmdIAC:
				c.state = inCommand
			case b == 0 && c.afterCR && c.theirs[optBinary] != agreed: // RFC 854, page 11
				c.afterCR = false
			default:
				dst = append(dst, b)
				c.afterCR = b == '\r'
			}
		case inCommand:
			c.state = inData
			switch b {
			case cmdIAC:
				dst = append(dst, b)
				c.afterCR = false
			case cmdSB:
				c.state, c.sub = inSub, c.sub[:0]
			case cmdWill, cmdWont, cmdDo, cmdDont:
				c.state, c.command = inOption, b
			}
		case inOption:
			c.state = inData
			c.negotiate(c.command, b)
		case inSub:
			switch {
			case b == cmdIAC:
				c.state = inSubCommand
			case len(c.sub) == maxSubnegotiation:
				c.state = inData
			default:
				c.sub = append(c.sub, b)
			}
		case inSubCommand:
			switch {
			case b == cmdIAC && len(c.sub) < maxSubnegotiation:
				c.state, c.sub = inSub, append(c.sub, b)
			case b == cmdSE:
				c.state = inData
				if c.onSub != nil && len(c.sub) > 0 {
					c.onSub(c.sub[0], c.sub[1:])
				}
			default:
				c.state = inData
			}
		}
	}
	return dst
}

// negotiate answers a request, and never an answer to one of ours.
func (c *telnetCodec) negotiate(command, option byte) {
	switch command {
	case cmdWill:
		c.accept(&c.theirs[option], c.wanted(option), cmdDo, cmdDont, option)
	case cmdWont:
		c.release(&c.theirs[option], cmdDont, option)
	case cmdDo:
		c.accept(&c.ours[option], c.wanted(option) && option != optEcho, cmdWill, cmdWont, option)
	case cmdDont:
		c.release(&c.ours[option], cmdWont, option)
	}
}

func (c *telnetCodec) wanted(option byte) bool {
	return option == optBinary || option == optEcho || option == optSuppressGoAhead || option == optComPort && c.comPort
}

func (c *telnetCodec) accept(side *agreement, wanted bool, yes, no, option byte) {
	switch {
	case *side == asked:
		*side = agreed
	case *side == agreed:
	case wanted:
		*side = agreed
		c.answer = append(c.answer, cmdIAC, yes, option)
	default:
		c.answer = append(c.answer, cmdIAC, no, option)
	}
}

func (c *telnetCodec) release(side *agreement, ack, option byte) {
	if *side == agreed {
		c.answer = append(c.answer, cmdIAC, ack, option)
	}
	*side = refused
}

// ask appends to dst a request, cmdWill or cmdDo.
func (c *telnetCodec) ask(dst []byte, command, option byte) []byte {
	if command == cmdWill {
		c.ours[option] = asked
	} else {
		c.theirs[option] = asked
	}
	return append(dst, cmdIAC, command, option)
}

// encode appends to dst the data src in the form of the connection.
func (c *telnetCodec) encode(dst, src []byte) []byte {
	for _, b := range src {
		dst = append(dst, b)
		switch {
		case b == cmdIAC:
			dst = append(dst, cmdIAC)
		case b == '\r' && c.ours[optBinary] != agreed:
			dst = append(dst, 0)
		}
	}
	return dst
}

// encodeSub appends to dst a subnegotiation (RFC 855).
func encodeSub(dst []byte, option byte, value ...byte) []byte {
	dst = append(dst, cmdIAC, cmdSB, option)
	for _, b := range value {
		if b == cmdIAC {
			dst = append(dst, cmdIAC)
		}
		dst = append(dst, b)
	}
	return append(dst, cmdIAC, cmdSE)
}
