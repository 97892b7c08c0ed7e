/** The profiles by name. */

import type { Profile, ProfileName } from './profile.ts';
import { FINWAIT_PROFILE } from './profiles/finwait.ts';
import { FREEBSD_PROFILE } from './profiles/freebsd.ts';
import { LINUX_PROFILE } from './profiles/linux.ts';

export const PROFILES: Readonly<Record<ProfileName, Profile>> = {
  finwait: FINWAIT_PROFILE,
  linux: LINUX_PROFILE,
  freebsd: FREEBSD_PROFILE,
};
