/** What lets a caller make a change. It may be taken away while the change waits. */
export interface Authority {
  /** False when it may have been taken away since it was last judged. It costs no more than a comparison. */
  isCurrent(): boolean;
  /** @throws AppError 401 or 403 when it was taken away */
  judgeAgain(): Promise<void>;
}
