/* SPDX-License-Identifier: MIT */
#include "lib/call.h"

void call_resume(struct call *call)
{
	if (call->transport_state)
		call->transport->resume(call);
}

void call_cancel(struct call *call)
{
	if (call->transport_state)
		call->transport->cancel(call);
}
